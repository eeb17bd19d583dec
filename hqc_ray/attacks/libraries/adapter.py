"""What adapters of attack libraries share: options from a class's signature, step sizes, random states, and what is handed over.

An adapter only searches, like every attack: what a library says of success is not listened to. Which attacks of a library work
here, and what is to be known of each, stands in its table; its other attacks are refused by name.
"""

from __future__ import annotations

import importlib
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, create_model

from hqc_ray.attacks.balls import NORMS, Norm
from hqc_ray.attacks.base import QUERY, Attack, Kind
from hqc_ray.attacks.spaces import Space
from hqc_ray.errors import AttackError
from hqc_ray.guard import guarded
from hqc_ray.later import later
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hqc_ray.attacks import steady
    from hqc_ray.attacks.libraries import handed
    from hqc_ray.attacks.view import View
else:
    torch, steady = later("torch"), later("hqc_ray.attacks.steady")
    handed = later("hqc_ray.attacks.libraries.handed")

MOST = 1_000_000  # of any number that is an option
COUNTS = ("steps", "max_iter", "n_queries", "repeats", "n_restarts", "nb_restarts", "nb_random_init", "binary_search_steps",
          "m", "N", "initial_gradient_eval_steps", "init_eval")  # fmt: skip
STEPS = ("steps", "max_iter")
SIZES = ("rel_stepsize", "abs_stepsize", "alpha", "eps_step")
LINF, L2 = NORMS[:1], NORMS[1:]
BOXED: tuple[Level, ...] = ("pixels", "angles")  # levels with a box


@dataclass(frozen=True)
class Facts:
    """What is to be known of a library's attack, and what its signature does not say.

    Attributes:
        norms: that it works in; two where the class is told one.
        kind: "budget" (it is told epsilon) or "minimal" (it has none).
        stride: the size of all its steps together, over epsilon, where no step size is given; None: the library's own.
        each: `stride` is the size of every step.
        random: it draws random numbers, unless its option `random_start` or `num_random_init` says that it does not.
        black_box: it asks for logits only.
        starts: it begins at another image, of another class.
        choices: the valid values of its options that are words.
        hidden: options that are not to be set.
    """

    norms: tuple[Norm, ...]
    kind: Kind = "budget"
    stride: float | None = None
    each: bool = False
    random: bool = False
    black_box: bool = False
    starts: bool = False
    choices: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """A library of attacks.

    Attributes:
        name: in front of the colon.
        title: in tables.
        distribution: as pip knows it.
        module: that has the classes.
        base: the class of its entries here.
        attacks: those that work here.
        refused: why others do not, and what to use instead.
        hidden: options of any attack that are not to be set.
    """

    name: str
    title: str
    distribution: str
    module: str
    base: type[Adapter]
    attacks: Mapping[str, Facts]
    refused: Mapping[str, tuple[str, str]]
    hidden: tuple[str, ...]


class Adapter(Attack):
    """Base of the entries of libraries' attacks. Their options are those of the library's class, and `library`, its version."""

    facts: ClassVar[Facts]
    source: ClassVar[type[Any]]  # the library's class
    least: ClassVar[Mapping[str, int]] = {"dlr": 3, "difference_logits_ratio": 3}

    @abstractmethod
    def found(self, model: nn.Module, images: Tensor, labels: Tensor, starts: Tensor | None, call: Call) -> Tensor:
        """What the library finds for images [B, ...] with labels [B]: [B, ...].

        Args:
            model: [B, ...] -> logits [B, K].
            images: float32, contiguous.
            labels: the true ones.
            starts: [B, ...], images of other classes where the attack asks for some.
            call: how it is to be called.
        """

    @property
    def varies(self) -> bool:
        """Whether another random stream gives another search."""
        if self.facts.random:
            return bool(getattr(self, "random_start", True)) and getattr(self, "num_random_init", 1) > 0
        return False

    @property
    def least_classes(self) -> int:
        """Three for a loss that divides by the distance to the third largest logit."""
        return max(self.least.get(str(getattr(self, name, "")), 2) for name in ("loss", "loss_type"))

    @property
    def gradient_steps(self) -> int | None:
        """Of an attack inside a ball that takes gradients: its steps, or one."""
        climbs = self.facts.kind == "budget" and not self.facts.black_box
        return self._steps() if climbs else None

    def per_search(self, n_classes: int) -> float:
        """The product of all its numbers of steps and repetitions; of a black box, evaluations."""
        product = 1.0
        for name in COUNTS:
            product *= getattr(self, name, 1)
        return product * max(getattr(self, "num_random_init", 1), 1) * (QUERY if self.black_box else 1.0)

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield what the library finds; its random numbers begin with the generator's, and its streams are restored."""
        images = values.contiguous().float()
        found, seed = values.clone(), generator.initial_seed()
        for index, epsilon in enumerate(epsilons):
            which, starts = _starts(view, images, labels) if self.facts.starts and index == 0 else (slice(None), None)
            if (index == 0 or self.kind == "budget") and len(images[which]):
                with steady.restored(seed, values.device, self.title):
                    call = Call(view.space, epsilon, seed % 2**32, self.given(epsilon))
                    found[which] = self.found(handed.Handed(view, values), images[which], labels[which], starts, call).to(values)
            yield found

    def given(self, epsilon: float) -> dict[str, Any]:
        """The library's options, with a step size for this epsilon where none is asked for."""
        options = {name: getattr(self, name) for name in type(self).model_fields if name not in OURS}
        if self.facts.stride is not None:
            size = self.facts.stride / (1 if self.facts.each else self._steps())
            if "rel_stepsize" in options:
                if options["rel_stepsize"] is None and options["abs_stepsize"] is None:
                    options["rel_stepsize"] = size
            else:
                name = next(name for name in SIZES if name in options)
                options[name] = size * epsilon if options[name] is None else options[name]
        return options

    def _steps(self) -> int:
        return next((getattr(self, name) for name in STEPS if name in type(self).model_fields), 1)


OURS = frozenset([*Attack.model_fields, "library"])


@dataclass(frozen=True)
class Call:
    """How a library's attack is called: the space of the images, epsilon, a seed, and the options of its class."""

    space: Space
    epsilon: float
    seed: int
    options: dict[str, Any]

    def make(self, source: type[Any], *args: Any, **known: Any) -> Any:
        """An attack of the class, with the options, and those of `known` that it takes."""
        taken = inspect.signature(source).parameters
        return source(*args, **self.options, **{name: value for name, value in known.items() if name in taken})


def made(library: Library, own: str) -> type[Adapter]:
    """The class of entries for attack `own` of a library.

    Raises:
        AttackError: the library is not installed, or is another version without this attack.
    """
    name, facts = f"{library.name}:{own}", library.attacks[own]
    try:
        version = metadata.version(library.distribution)
    except metadata.PackageNotFoundError as problem:
        what = f"attack {name!r} needs {library.title}, which is not installed"
        raise AttackError(what, valid=f"pip install {library.distribution}") from problem
    with guarded("attack", name, AttackError, to="import"):
        source = getattr(importlib.import_module(library.module), own)
    fields: dict[str, Any] = {"norm": (Norm, facts.norms[0]), "library": (Literal[f"{library.title} {version}"],
                                                                        f"{library.title} {version}")}  # fmt: skip
    for option, parameter in _parameters(source).items():
        if option not in (*library.hidden, *facts.hidden, *OURS) and (kind := _field(option, parameter, facts)):
            fields[option] = kind
    entry: type[Adapter] = create_model(own, __base__=library.base, __module__=__name__, **fields)
    entry.title, entry.facts, entry.source = f"{library.title} {own}", facts, source
    entry.kind, entry.norms, entry.random, entry.black_box = facts.kind, facts.norms, facts.random, facts.black_box
    entry.one_search = facts.kind == "minimal"
    return entry


def _parameters(source: type[Any]) -> Mapping[str, inspect.Parameter]:
    """Of the class's constructor, but for its model."""
    return {name: one for name, one in inspect.signature(source).parameters.items() if one.default is not one.empty}


def _field(option: str, parameter: inspect.Parameter, facts: Facts) -> tuple[Any, Any] | None:
    """Type and default of an option; None for what is neither a number nor a word."""
    default = parameter.default
    if option in SIZES:
        return float | None, Field(None if facts.stride is not None else default, gt=0, le=MOST)
    if option in facts.choices:
        return Literal[facts.choices[option]], default if default is not None else facts.choices[option][0]
    if isinstance(default, bool):
        return bool, default
    if option in COUNTS:
        return int, Field(default, ge=1, le=MOST)
    if isinstance(default, int) and "float" not in str(parameter.annotation):
        return int, Field(default, ge=0, le=MOST)
    if isinstance(default, int | float):
        return float, Field(float(default), ge=0, le=MOST)
    return None


def _starts(view: View, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For which images [n] of the batch there is one that the model sees as another class, and the nearest of these [n, ...]."""
    flat, seen = images.flatten(1), view.predictions(images)
    distances = torch.cdist(flat, flat).masked_fill(seen[None, :] == labels[:, None], torch.inf)
    nearest = distances.min(1)
    which = nearest.values.isfinite().nonzero()[:, 0]
    return which, images[nearest.indices[which]]
