"""AutoAttack for bottlenecks: the strongest attacks one after the other, each on what is left, and epsilons nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, SerializeAsAny, model_validator

from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.searches.borrowing import Ideal
from hqc_ray.attacks.searches.ensemble import Ensemble
from hqc_ray.spec import Level

if TYPE_CHECKING:
    from hqc_ray.attacks.view import View

MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "ideal": {}, "bottleneck": {}, "control": {}, "apgd": {}, "fab": {}, "square": {"queries": 1000},
}  # fmt: skip
_LEFT = 0.1  # of the images, about, after the first attack


class AutoAttack(Ensemble):
    """The bottleneck attack, the control's PGD, APGD on the margin, FAB and Square: who is robust withstands all of them.

    On a device it begins with what the same attack found on the ideal twin (`ideal`), once for all devices. A member that does
    not apply is left out: the bottleneck attack where the head has no bottleneck, `control` and `ideal` where it is no circuit; a
    row says which ran. What has fallen at a smaller epsilon has fallen at a larger one, and is not searched again: so a sweep's
    list of epsilons is part of what it computes.

    After Croce and Hein, arXiv 2003.01690, section 5, for any number of classes: for two, DLR is not defined, and the
    cross-entropy is the margin. The targets of the bottleneck attack stand in for the targeted attacks.

    Attributes:
        members: the attacks' names and options, in their order; their norm is that of the whole.
    """

    title: ClassVar[str] = "AutoAttack"
    nested: ClassVar[bool] = True
    members: dict[str, SerializeAsAny[Attack]] = Field(default_factory=dict, min_length=1)

    @classmethod
    def _default(cls) -> Mapping[str, Any]:
        return {"members": MEMBERS}

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Two attacks with few steps."""
        return cls(**{"members": {"apgd": {"steps": 12}, "fab": {"steps": 8}}, **options})

    @model_validator(mode="after")
    def _check_searching(self) -> Self:
        if all(isinstance(member, Ideal) for member in self.members.values()):
            raise ValueError("`ideal` takes over what the other members find on the ideal twin, and there are none")
        return self

    @property
    def reaches(self) -> tuple[Level, ...]:
        """The levels that some member works at; at others it is left out."""
        return tuple(level for level in self.levels if any(level in member.reaches for member in self.members.values()))

    @property
    def needs_bottleneck(self) -> bool:
        """Whether all members do: others are left without it."""
        return all(member.needs_bottleneck for member in self.members.values())

    @property
    def alone(self) -> bool:
        """Whether a member does."""
        return any(member.alone for member in self.members.values())

    def applies(self, view: View) -> bool:
        """Where a member does."""
        return any(member.applies(view) for member in self.members.values())

    def running(self, view: View) -> dict[str, Attack]:
        """Those that apply; all of them if none does."""
        return {name: member for name, member in self.members.items() if member.applies(view)} or self.members

    def per_search(self, n_classes: int) -> float:
        """The first member's, and of the others as much as they have images left."""
        first, *others = [cost for member in self.members.values() if (cost := member.cost(1, n_classes))] or [0.0]
        return first + _LEFT * sum(others)

    def cost(self, n_epsilons: int, n_classes: int = 2) -> float:
        """Larger epsilons begin with what the smaller ones have left."""
        return self.per_search(n_classes) * (1 + _LEFT * (n_epsilons - 1)) * self.restarts * self.draws
