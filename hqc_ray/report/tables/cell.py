"""The cells of tables: numbers and balls as they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hqc_ray.report.content.lines import Ball, Certified, Value
from hqc_ray.report.style import strength_text

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table; the parts of a number are its mean, its interval, and remarks."""

    kind: Literal["text", "number", "device", "flags"]
    parts: tuple[str, ...]
    flagged: bool = False

    @property
    def text(self) -> str:
        """In one line."""
        return " ".join(self.parts)


def number(value: Value | None, mark: str = "") -> Cell:
    """'52.0 ± 1.2', '[45-59]', '(2 of 3 seeds)', '(paper 46.5)', in percent; `mark` follows the mean of a flagged value."""
    if value is None:
        return Cell("number", (NOTHING,))
    parts, flagged = ["failed"], bool(value.flags)
    if value.seeds:
        spread = "" if value.spread is None else f" ± {value.spread:.1f}"
        parts = [f"{value.mean:.1f}{spread}{mark if flagged else ''}", f"[{value.low:.0f}-{value.high:.0f}]"]
    if value.seeds and value.failed:
        parts.append(f"({value.seeds} of {value.seeds + value.failed} seeds)")
    if value.paper is not None:
        parts.append(f"(paper {value.paper:.1f}{'!' if value.paper_flagged else ''})")
    return Cell("number", tuple(parts), flagged)


def certified(found: Certified | None, level: str) -> tuple[Cell, Cell]:
    """The certified share as a number with what is undecided, and the radius: '0.736 rad', '0.35 to 0.41 std'."""
    if found is None:
        return number(None), number(None)
    share = number(found.value)
    if found.undecided:
        share = Cell("number", (*share.parts, f"({found.undecided:.1f} undecided)"), share.flagged)
    if found.radius is None:
        return share, number(None)
    low, high = f"{found.radius:.3g}", "" if found.radius_high is None else f"{found.radius_high:.3g}"
    text = low if low == high else f"{low} to {high}" if high else f"at least {low}"
    return share, Cell("number", (text, strength_text(0.0, level).partition(" ")[2]))


def ball_text(ball: Ball | None) -> str:
    """The ball as its own text, or that there is none."""
    return NOTHING if ball is None else ball.text
