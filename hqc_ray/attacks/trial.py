"""One tiny run of a user's own attack, or a library's, when a sweep is planned: what would fail later is one line now."""

from __future__ import annotations

import contextlib
import inspect
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from hqc_ray.attacks.balls import NORMS
from hqc_ray.attacks.base import Attack, Kind
from hqc_ray.attacks.contract import run
from hqc_ray.attacks.libraries.adapter import Adapter
from hqc_ray.attacks.searches.ensemble import Ensemble
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.entries import describe
from hqc_ray.errors import AttackError
from hqc_ray.guard import guarded, wrong
from hqc_ray.spec import LEVELS, Level

IMAGES = 4
ARGUMENTS = ("view", "values", "labels", "epsilons", "generator")  # of a search
LOOKS, SECONDS = 300, 5.0  # evaluations of the model and time after which a search is believed: a trial is to take no time
EPSILONS = (0.02, 0.05)
_OWN = f"{__name__.partition('.')[0]}."  # attacks of this package are tested with it


class Tiny(nn.Module):
    """A random model: values [B, ...] -> logits [B, K]."""

    def __init__(self, shape: Sequence[int], n_classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.looks = 0
        self.pool = nn.AdaptiveAvgPool2d(4) if len(shape) == 3 else nn.Identity()
        inputs = shape[0] * 16 if len(shape) == 3 else shape[0]
        sizes = ((inputs, 8), (8, n_classes))
        self.weights = nn.ParameterList(torch.randn(size, generator=generator) / math.sqrt(size[0]) for size in sizes)

    def forward(self, values: Tensor) -> Tensor:
        """Logits [B, K], for `LOOKS` times."""
        self.looks += 1
        if self.looks > LOOKS:
            raise _EnoughError
        first, second = self.weights
        return torch.tanh((self.pool(values) - 0.5).flatten(1) @ first) @ second


class _EnoughError(BaseException):
    """The search has looked often enough; no `except Exception` of a user catches it."""


def check(name: str, attack: Attack, level: Level, shape: Sequence[int], n_classes: int) -> None:
    """Run a user's own attack, or a library's, on a few random values, through a small random model; none of this package.

    Args:
        name: as the sweep file says it.
        attack: with its options; of an ensemble, its members are tried.
        level: that it is to search at.
        shape: of one image at that level, [3, H, W] or [n].
        n_classes: K.

    Raises:
        AttackError: it raises something, or breaks the contract of `Attack.search`; the user's file and line are named.
    """
    for own, member in _users(name, attack):
        with guarded("attack", own, AttackError):
            _check_facts(own, member, n_classes)
        if member.least_classes > n_classes:
            continue  # refused by who asks, whatever it would do
        valid = describe(type(member)) if isinstance(member, Adapter) else ""
        with guarded("attack", own, AttackError, valid=valid):
            _run(own, member, level, shape, n_classes)


def _users(name: str, attack: Attack) -> Iterator[tuple[str, Attack]]:
    if isinstance(attack, Ensemble):
        for inner, member in attack.members.items():
            yield from _users(inner, member)
    elif isinstance(attack, Adapter) or not type(attack).__module__.startswith(_OWN):
        yield name, attack


def _run(name: str, attack: Attack, level: Level, shape: Sequence[int], n_classes: int) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(IMAGES, *shape, generator=generator)
    model = Tiny(shape, n_classes)
    labels = model(values).argmax(1)
    try:
        with _limited():
            run(attack, model, values, labels, EPSILONS, seed=0, space=SPACES[level])
    except _EnoughError:
        return
    except AttackError as problem:
        if problem.where != repr(attack):  # in a call by the user's code, whose place `guarded` finds
            raise
        raise wrong("attack", name, problem.what, AttackError, by=type(attack).search, valid=problem.valid) from problem


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Ends what takes longer than `SECONDS`, in the main thread, which alone has signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def enough(*_: object) -> None:
        raise _EnoughError

    before = signal.signal(signal.SIGALRM, enough)
    left, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _check_facts(name: str, attack: Attack, n_classes: int) -> None:
    """Whether what the class says of itself is what its readers understand."""
    try:
        inspect.signature(attack.search).bind(*ARGUMENTS)
    except TypeError as problem:
        valid = f"search(self, {', '.join(ARGUMENTS)})"
        raise wrong("attack", name, f"search: {problem}", AttackError, by=type(attack).search, valid=valid) from problem
    facts = {
        "title": (isinstance(attack.title, str), "text"),
        "kind": (attack.kind in get_args(Kind), ", ".join(get_args(Kind))),
        "norms": (_some_of(attack.norms, NORMS), f"some of {', '.join(NORMS)}"),
        "levels": (_some_of(attack.reaches, LEVELS), f"some of {', '.join(LEVELS)}"),
        "least_classes": (_is_count(attack.least_classes), "a number from 1"),
        "gradient_steps": (attack.gradient_steps is None or _is_count(attack.gradient_steps), "a number from 1, or None"),
        "aims": (isinstance(attack.aims, bool), "true or false"),
        "cost": (_is_cost(attack.cost(2, n_classes)), "a finite number of gradients, from 0"),
        "black_box": (isinstance(attack.black_box, bool), "true or false"),
        "nested": (isinstance(attack.nested, bool), "true or false"),
        "perturbs": (isinstance(attack.perturbs, bool), "true or false"),
        "one_search": (isinstance(attack.shared, bool), "true or false"),
    }
    for fact, (right, valid) in facts.items():
        if not right:
            raise wrong("attack", name, f"{fact} is {getattr(attack, fact)!r:.100}", AttackError, by=type(attack), valid=valid)


def _some_of(given: object, known: Sequence[str]) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str) and len(given) > 0 and all(one in known for one in given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
