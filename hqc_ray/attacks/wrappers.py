"""Searches made of other searches, whatever these are: restarts of one, and the strongest of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hqc_ray.attacks.balls import Norm, admitted, per_image
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError
from hqc_ray.seeds import stream

Search = Callable[[View, Tensor, Tensor, Sequence[float], torch.Generator], Iterator[Tensor | None]]  # see `Attack.search`


def one_each(found: object, n: int, where: str) -> Iterator[Tensor | None]:
    """The `n` candidates of a search with `n` epsilons; None for each that it does not yield.

    Raises:
        AttackError: the search is no generator, or (once all are taken) yields more, so that one was judged at a wrong epsilon.
    """
    if not isinstance(found, Iterator):
        raise AttackError(f"the search returns {type(found).__name__}", where=where, valid="yield one candidate per epsilon")
    for _ in range(n):
        yield next(found, None)
    if next(found, None) is not None:
        raise AttackError(
            f"the search yielded more candidates than epsilons, {n}", where=where, valid="one per epsilon, in order"
        )


class Run(NamedTuple):
    """A search among several, the names of its random stream (none: that of the whole), and what errors call it."""

    search: Search
    names: tuple[str | int, ...]
    label: str


def restarted(search: Search, restarts: int, norm: Norm, label: str) -> Search:
    """The strongest of `restarts` runs of one search, each from its own random numbers; the first has those of a single run."""
    return strongest([Run(search, ("restart", k) if k else (), label) for k in range(restarts)], norm)


def strongest(runs: Sequence[Run], norm: Norm) -> Callable[..., Iterator[Tensor]]:
    """One search out of several, run in their order: at each epsilon, the candidate with the largest margin of each image.

    Where the view's model decides, each run works on the images only that no earlier one has fooled, and the first fooling
    candidate is kept. Where another one decides, each run works on all of them.
    """

    def several(
        view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        for epsilon in epsilons:
            yield _strongest(runs, norm, view, values, labels, epsilon, generator.initial_seed())

    return several


def _strongest(runs: Sequence[Run], norm: Norm, view: View, values: Tensor, labels: Tensor, epsilon: float, seed: int) -> Tensor:
    best, margins = values.clone(), values.new_full((len(values),), -torch.inf)
    lost = torch.ones(len(values), dtype=torch.bool, device=values.device)  # no run has yielded anything finite for these
    left = torch.arange(len(values), device=values.device)
    for run in runs:
        generator = torch.Generator().manual_seed(stream(seed, *run.names) if run.names else seed)
        part = view.part(len(left))
        searching = one_each(run.search(part, values[left], labels[left], [epsilon], generator), 1, run.label)
        found, not_finite = admitted(next(searching), values[left], epsilon, norm, view.space, run.label)
        next(searching, None)
        view.absorb(part, left)
        lost[left] &= not_finite
        logits = view.logits(found)
        reached = margin(logits, labels[left]).to(margins).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
        best[left] = torch.where(per_image(reached > margins[left], found), found, best[left])
        margins[left] = torch.maximum(reached, margins[left])
        if view.decides:
            left = left[(~fooled(logits, labels[left])).nonzero()[:, 0]]
            if not len(left):
                break
    return best.masked_fill(per_image(lost, best), torch.nan)
