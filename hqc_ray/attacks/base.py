"""What an attack is: options, facts, and a search. What counts as success is decided in `contract`, once for all attacks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hqc_ray.attacks.balls import NORMS, Norm
from hqc_ray.attacks.wrappers import Search, one_each, restarted
from hqc_ray.entries import Entry
from hqc_ray.errors import AttackError
from hqc_ray.later import later
from hqc_ray.spec import LEVELS, Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

Kind = Literal["none", "budget", "minimal"]
QUERY = 0.4  # what an evaluation of the model costs, in gradients


def _is_one(value: int) -> bool:
    return value == 1


class Attack(Entry):
    """Base of the attacks; the fields are the options. Subclasses implement `search` and nothing else.

    Class attributes are facts that others read (the contract, costs, audit, report):

    Attributes:
        title: as tables call it; the class's own name unless it says another.
        kind: "none" (a control that does not search), "budget" (searches inside a ball), "minimal" (searches the
            smallest perturbation, judged against every epsilon afterwards).
        perturbs: False if it leaves the values as they are, whatever epsilon is.
        norms: that it works in.
        levels: that it works at.
        random: it draws random numbers, so that restarts make sense.
        black_box: it asks the model for logits only, never for a gradient.
        one_search: one search serves every epsilon (False: each epsilon is searched on its own).
        nested: what was found at a smaller epsilon counts at the larger ones, so that the result at one depends on which smaller
            ones there are. Epsilons come in rising order then.
        norm: of the ball that epsilon is the radius of, in the unit of the space (pixels: of [0, 1]).
        restarts: runs from different random numbers, each on the images that the earlier ones did not fool.
        draws: of a stochastic model, over which each gradient is averaged. Other models have nothing to average.
    """

    title: ClassVar[str] = "Attack"
    kind: ClassVar[Kind] = "budget"
    perturbs: ClassVar[bool] = True
    norms: ClassVar[tuple[Norm, ...]] = NORMS
    levels: ClassVar[tuple[Level, ...]] = LEVELS
    random: ClassVar[bool] = False
    black_box: ClassVar[bool] = False
    one_search: ClassVar[bool] = True
    nested: ClassVar[bool] = False
    norm: Norm = "linf"
    # at their default they are not among the options that a row names: most attacks have no use for them
    restarts: int = Field(1, ge=1, le=1000, exclude_if=_is_one)
    draws: int = Field(1, ge=1, le=1000, exclude_if=_is_one)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "title" not in cls.__dict__:
            cls.title = cls.__name__

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.norm not in self.norms:
            raise ValueError(f"norm={self.norm}: {self.title} works in {', '.join(self.norms)}")
        if self.restarts > 1 and (self.kind == "none" or not self.varies):
            raise ValueError(f"restarts above 1: {self.title} draws no random numbers to search from, all would be the same run")
        if self.draws > 1 and (self.kind == "none" or self.black_box):
            raise ValueError(f"draws above 1: {self.title} takes no gradients to average")
        return self

    @classmethod
    def example(cls, **options: Any) -> Self:
        """The attack with `options`, and others that make it cheap: what the contract's tests run."""
        return cls(**options)

    @property
    def varies(self) -> bool:
        """Whether another random stream gives another search."""
        return self.random

    @property
    def reaches(self) -> tuple[Level, ...]:
        """The levels that it works at with these options."""
        return self.levels

    def applies(self, view: View) -> bool:
        """Whether it is of use on this model, among others: its levels, and what it is made for."""
        return view.space.name in self.reaches

    @property
    def least_classes(self) -> int:
        """How many classes a model must have for it with these options."""
        return 2

    @property
    def gradient_steps(self) -> int | None:
        """How many steps one run climbs along the loss's gradient; None: it does not climb so, or nobody said."""
        return None

    @property
    def aims(self) -> bool:
        """Whether it aims at points at which the model is wrong, so that no corner that the loss's gradient leads to traps it."""
        return False

    @property
    def wants_landmarks(self) -> bool:
        """Whether it makes use of training images, where the model has a bottleneck (`view.landmarks`)."""
        return False

    @property
    def needs_bottleneck(self) -> bool:
        """Whether it knows nothing to do with a model without a bottleneck."""
        return False

    @property
    def borrows(self) -> tuple[str, ...]:
        """What it takes over from other models, as `Borrowed` calls it; where it cannot, see `alone`."""
        return ()

    @property
    def alone(self) -> bool:
        """Whether it searches where there is nothing to borrow."""
        return not self.borrows

    @property
    def shared(self) -> bool:
        """Whether one search serves every epsilon with these options: restarts look at each epsilon on its own."""
        return self.one_search and self.restarts == 1

    def per_search(self, n_classes: int) -> float:
        """Expected gradients per image of one search, without restarts and draws: 1, unless a subclass says more.

        Without gradients, what its evaluations cost: `QUERY` each.
        """
        return 0.0 if self.kind == "none" else 1.0

    def cost(self, n_epsilons: int, n_classes: int = 2) -> float:
        """Expected gradients per image at all of `n_epsilons`, for a model with `n_classes` classes."""
        searches = 1 if self.shared else n_epsilons
        return self.per_search(n_classes) * self.restarts * self.draws * searches

    def names(self, view: View) -> tuple[str, ...]:
        """Of an ensemble: the members that run on a model."""
        return ()

    @abstractmethod
    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield one candidate [B, ...] per epsilon, in order.

        A candidate need not lie in the ball or the box: the contract projects it, evaluates it again, and decides.

        Args:
            view: the model; all gradients and evaluations go through it, and are counted there.
            values: [B, ...] in `view.space`: images [B, C, H, W] in [0, 1], or features or angles [B, n]. Those that are
                to be attacked; if `view.decides`, all of them are classified correctly so far.
            labels: [B] int64, the true classes.
            epsilons: all greater than 0; only one, unless `one_search` or `nested`.
            generator: the random stream of this batch, on the CPU whatever the device of the values.
        """

    def find(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor | None]:
        """Yield what `search` does, with the restarts and draws asked for; None where it yields nothing.

        The candidate of one epsilon does not depend on the others, unless they are nested: without a shared search, each is
        searched with the same random numbers, whatever was drawn before.

        Raises:
            AttackError: the attack does not work at the level of the values, or does not yield one candidate per epsilon.
        """
        if view.space.name not in self.reaches:
            raise AttackError(f"{self.title} does not work at {view.space.name}", where="level", valid=", ".join(self.reaches))
        if self.draws > 1:
            view.draws = self.draws
        search: Search = self.search
        if self.restarts > 1:
            search = restarted(search, self.restarts, self.norm, repr(self), self.nested)
        if self.shared or self.nested:
            yield from one_each(search(view, values, labels, epsilons, generator), len(epsilons), repr(self))
            return
        for epsilon in epsilons:
            view.rewind()
            own = torch.Generator().manual_seed(generator.initial_seed())
            # copies: a search that works in place would begin the next epsilon elsewhere
            yield from one_each(search(view, values.clone(), labels.clone(), [epsilon], own), 1, repr(self))
