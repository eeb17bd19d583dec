"""The result table for a terminal: in columns, or where they do not fit a block for each model on its device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from hqc_ray import columns
from hqc_ray.columns import counted
from hqc_ray.report.content.attacks import Shown
from hqc_ray.report.content.lines import Line, Value
from hqc_ray.report.content.view import Report
from hqc_ray.report.style import printable
from hqc_ray.report.tables.cell import NOTHING, ball_text

TITLE = "Accuracy, %"
LEFT = ("Model", "Head", "Images", "Device")
MOST = 5  # attacks
INDENT = "  "


@dataclass(frozen=True)
class TerminalTable:
    """The table in short, as wide as the console: mean accuracies in percent, an exclamation mark at what is flagged.

    What names a line (model, head, images, device) is never cut. Where there is no room for all attacks, the variants go first.

    Args:
        report: what is shown.
        max_lines: of them.
    """

    report: Report
    max_lines: int = 60

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines for a console."""
        width = options.max_width
        unfinished = self.report.unfinished
        title = TITLE + " (mean over seeds)" * (self.report.facts.seeds > 1)
        yield Text(f"{title}, unfinished: {unfinished}" if unfinished else title, style="italic")
        shown = self.report.lines[: self.max_lines]
        attacks = _plain_first(self.report.attacks, MOST)
        head = [*LEFT, *_names(attacks)]
        lines = [[*_left(line), *_numbers(line, attacks)] for line in shown]
        right = range(len(LEFT), len(head))
        if columns.width_of(head, lines) <= width:
            body = columns.aligned(head, lines, right)
        else:
            attacks = self._that_fit(shown, width)
            body = _blocks(shown, attacks, width)
        for text in [*body, *_wrapped(_caption(self.report, attacks, self.max_lines), width)]:
            text.no_wrap, text.overflow = True, "ignore"
            yield text

    def _that_fit(self, lines: Sequence[Line], width: int) -> list[Shown]:
        """As many attacks as stand beside each other; one at least."""
        for most in range(MOST, 1, -1):
            attacks = _plain_first(self.report.attacks, most)
            if columns.width_of(_names(attacks), [_numbers(line, attacks) for line in lines]) + len(INDENT) <= width:
                return attacks
        return _plain_first(self.report.attacks, 1)


def _wrapped(text: str, width: int) -> list[Text]:
    """A caption's lines."""
    return [Text(), *(part for line in text.split("\n") if line for part in columns.wrapped(line, width))]


def _blocks(lines: Sequence[Line], attacks: Sequence[Shown], width: int) -> list[Text]:
    """A heading for each model on its device, then its strengths; their columns are the same in all blocks."""
    numbers = {id(line): _numbers(line, attacks) for line in lines}
    whole = columns.aligned(_names(attacks), list(numbers.values()), range(len(attacks) + 3))
    height = len(whole) - len(lines)
    top, rows = whole[: height - 1], dict(zip(numbers, whole[height:], strict=True))
    found: list[Text] = []
    for left, its in groupby(lines, key=_left):
        found += [Text(), *columns.wrapped(", ".join(left), width, "bold")]
        found += [Text(INDENT) + text for text in [*top, *(rows[id(line)] for line in its)]]
    return found


def _left(line: Line) -> list[str]:
    m = line.model
    return [
        " ".join(printable(text).split()) for text in (m.backbone_name, m.full_head, m.images.replace(" images", "", 1), m.device)
    ]


def _names(attacks: Sequence[Shown]) -> list[str]:
    """The columns behind the left ones; what tells an attack from another of its name stands below it."""
    told = [
        printable(attack.text).replace("(", "\n(").replace(" [", "\n[").replace(" through", "\nthrough") for attack in attacks
    ]
    return ["ε", "Clean", *told, "Worst"]


def _numbers(line: Line, attacks: Sequence[Shown]) -> list[str | Text]:
    return [ball_text(line.ball), *map(_short, [line.clean, *(line.attacks.get(attack) for attack in attacks), line.worst])]


def _plain_first(attacks: Sequence[Shown], most: int) -> list[Shown]:
    """At most so many: the plain attacks before their variants, in the table's order."""
    first = sorted(attacks, key=lambda attack: (not attack.plain, attack.order))[:most]
    return [attack for attack in attacks if attack in first]


def _short(value: Value | None) -> Text:
    if value is None:
        return Text(NOTHING)
    if math.isnan(value.mean):
        return Text("failed", style="red")
    return Text(f"{value.mean:.1f}!", style="yellow") if value.flags else Text(f"{value.mean:.1f}")


def _caption(report: Report, attacks: Sequence[Shown], max_lines: int) -> str:
    lines, more, raised, facts = len(report.lines), len(report.attacks) - len(attacks), report.raised, report.facts
    parts = [
        f"{counted(lines - max_lines, 'more line')} in table.md" if lines > max_lines else "",
        f"{counted(more, 'more attack')} in table.md" if more else "",
        "circuits against their controls stand in table.md" if report.controls else "",
        "transferred attacks stand in table.md" if report.transfers else "",
        f"! flagged: {', '.join(f'{flag} ({count})' for flag, count in raised.items())}; meanings in table.md" if raised else "",
        f"{facts.failed} of {counted(facts.cells, 'cell')} failed" if facts.failed else "",
    ]
    return "\n".join(p for p in parts if p)
