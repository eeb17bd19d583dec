"""An ensemble: several attacks one after the other, and of each image the strongest candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, SerializeAsAny, model_validator

from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.searches.borrowing import Ideal
from hqc_ray.attacks.wrappers import Run, strongest
from hqc_ray.errors import AttackError
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View


class Ensemble(Attack):
    """Attacks in order, each on the images that no earlier one fooled: an image is robust if it withstands all of them.

    As a mapping in a sweep file, `members: {pgd: {steps: 10}, deepfool: {}}`; a list would be an axis.

    Attributes:
        members: the attacks' names and options, in the order in which they run; their norm is that of the ensemble.
    """

    one_search: ClassVar[bool] = False
    members: dict[str, SerializeAsAny[Attack]] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _make_members(cls, options: Any) -> Any:
        from hqc_ray.attacks import member  # the table of attacks, in which this class stands

        options = {**cls._default(), **options} if isinstance(options, Mapping) else options
        if not isinstance(options, Mapping) or not isinstance(options.get("members"), Mapping):
            return options
        norm, made = options.get("norm", cls.model_fields["norm"].default), {}
        for name, given in options["members"].items():
            if not isinstance(given, Mapping | Attack):
                raise AttackError(f"options are a mapping, not {given!r}", where=f"members.{name}", valid=f"{name}: {{}}")
            try:
                made[name] = given if isinstance(given, Attack) else member(name, **{"norm": norm, **given})
            except AttackError as problem:
                raise problem.at(f"members.{name}") from problem
        return {**options, "members": made}

    @classmethod
    def _default(cls) -> Mapping[str, Any]:
        """The members of one that is asked for without any."""
        return {}

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        other = [name for name, member in self.members.items() if member.norm != self.norm]
        if other:
            raise ValueError(f"the norm of {other[0]} is not that of the ensemble, {self.norm}")
        if not self.nested and any(isinstance(member, Ideal) for member in self.members.values()):
            raise ValueError("the ideal twin's images are those of nested epsilons: `ideal` is a member of autoattack alone")
        return self

    @classmethod
    def example(cls, **options: Any) -> Self:
        """One step, and then a few."""
        return cls(**{"members": {"fgsm": {}, "pgd": {"steps": 4}}, **options})

    @property
    def varies(self) -> bool:
        """Whether another random stream gives another search to one of the members."""
        return any(member.varies for member in self.members.values())

    @property
    def aims(self) -> bool:
        """Whether a member does."""
        return any(member.aims for member in self.members.values())

    @property
    def wants_landmarks(self) -> bool:
        """Whether a member does."""
        return any(member.wants_landmarks for member in self.members.values())

    @property
    def needs_bottleneck(self) -> bool:
        """Whether a member does: all of them run."""
        return any(member.needs_bottleneck for member in self.members.values())

    @property
    def borrows(self) -> tuple[str, ...]:
        """What its members do, each once; the images of the ideal twin are those of nested epsilons."""
        names = dict.fromkeys(name for member in self.members.values() for name in member.borrows)
        return tuple(name for name in names if self.nested or name != "ideal")

    def applies(self, view: View) -> bool:
        """Where every member does."""
        return all(member.applies(view) for member in self.members.values())

    @property
    def reaches(self) -> tuple[Level, ...]:
        """The levels that every member works at."""
        return tuple(level for level in self.levels if all(level in member.reaches for member in self.members.values()))

    @property
    def least_classes(self) -> int:
        """As many as the most demanding member needs."""
        return max(member.least_classes for member in self.members.values())

    def per_search(self, n_classes: int) -> float:
        """The sum over the members, as if none of them fooled an image."""
        return sum(member.cost(1, n_classes) for member in self.members.values())

    def running(self, view: View) -> dict[str, Attack]:
        """The members that run on a model: all of them."""
        return self.members

    def names(self, view: View) -> tuple[str, ...]:
        """See `running`."""
        return tuple(self.running(view))

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the strongest candidate of each image; each member has a random stream of its own."""
        members = self.running(view).items()
        runs = [Run(member.find, ("member", name), f"member {name}", member.shared) for name, member in members]
        return strongest(runs, self.norm, self.nested)(view, values, labels, epsilons, generator)
