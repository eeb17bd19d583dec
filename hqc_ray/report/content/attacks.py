"""An attack as a column of a table and a curve of a figure: by the parts of its identity that tell it from others of a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hqc_ray.evaluation.comparisons import CONTROL
from hqc_ray.report.style import ATTACKS, DASHES, MORE, Natural, differences, natural

Row = Mapping[str, Any]
Style = tuple[str, str, Any]  # colour, marker, dashes
EXACT = "exact"  # the access that needs no word
OTHERS = "others"  # the audience for whom every image is attacked with the whole budget


@dataclass(frozen=True)
class Shown:
    """One attack, as it is shown."""

    name: str
    title: str
    control: bool
    options: str = ""  # those in which it differs from others of its name
    access: str = EXACT
    through: str = ""  # another device than the judge's, where that was attacked through
    whole: bool = False  # searched for others on all images, where the model also has a search of its own

    @property
    def text(self) -> str:
        """'PGD(steps=40) [ideal]'."""
        parts = [self.title + (f"({self.options})" if self.options else "")]
        parts += [f"[{self.access}]"] if self.access != EXACT else []
        parts += ["[whole budget]"] if self.whole else []
        return " ".join([*parts, *([f"through {self.through}"] if self.through else [])])

    @property
    def key(self) -> str:
        """'pgd(steps=40) [ideal]': the text, by the name that the sweep file has."""
        return replace(self, title=self.name).text

    @property
    def plain(self) -> bool:
        """Whether it is the attack with its defaults, as a paper means by its name."""
        return not (self.options or self.through or self.whole) and self.access == EXACT

    @property
    def order(self) -> tuple[bool, int, Natural, Natural, bool, str, Natural, bool]:
        """The preferred attacks, then others, controls last; of one attack the plain one first."""
        known = list(ATTACKS)
        place = known.index(self.name) if self.name in known else len(known)
        rest = (self.access != EXACT, self.access, natural(self.through), self.whole)
        return (self.control, place, natural(self.title), natural(self.options), *rest)


def is_clean(row: Row) -> bool:
    """Whether the images are unchanged: a control at epsilon 0."""
    return bool(row["attack_kind"] == CONTROL and row["epsilon"] == 0)


def is_transfer(row: Row) -> bool:
    """Whether the attacked model is another one than the judging model."""
    return bool(row["search_model_key"] != row["model_key"])


def shown(rows: Iterable[Row]) -> Callable[[Row], Shown]:
    """How each of these rows' attacks is shown; the same attack is the same value on every line of a report."""
    options: dict[str, set[str]] = defaultdict(set)
    alone: set[tuple[Any, ...]] = set()  # attacks on models that were searched for the model itself
    for row in rows:
        options[row["attack"]].add(row["attack_options"])
        if row["audience"] != OTHERS:
            alone.add(_seat(row))
    told = {name: differences(texts) for name, texts in options.items()}

    def show(row: Row) -> Shown:
        text = told[row["attack"]][row["attack_options"]]
        kind = (row["attack"], row["attack_title"], row["attack_kind"] == CONTROL)
        through = row["search_device"] if row["foreign_device"] else ""
        return Shown(*kind, text, row["access"], through, row["audience"] == OTHERS and _seat(row) in alone)

    return show


def _seat(row: Row) -> tuple[Any, ...]:
    """An attack, and the model and device that judge it."""
    names = ("attack", "attack_options", "access", "norm", "level", "search_model_key", "model_key", "device")
    return tuple(row[name] for name in names)


def attack_style(attacks: Iterable[Shown]) -> dict[Shown, Style]:
    """The style of each attack: it keeps its colour, its variants differ in dashes."""
    ordered = sorted(set(attacks), key=lambda a: a.order)
    others = _others(ordered)
    seen: dict[str, int] = defaultdict(int)
    styles: dict[Shown, Style] = {}
    for attack in ordered:
        colour, marker = ATTACKS.get(attack.name) or (MORE[others.index(attack.name) % len(MORE)], "v")
        styles[attack] = (colour, marker, DASHES[seen[attack.name] % len(DASHES)])
        seen[attack.name] += 1
    return styles


def _others(ordered: Sequence[Shown]) -> list[str]:
    return sorted({a.name for a in ordered if a.name not in ATTACKS})
