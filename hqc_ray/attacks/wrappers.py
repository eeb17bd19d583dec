"""Searches made of other searches, whatever these are: restarts of one, and the strongest of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from hqc_ray.attacks.balls import Norm, admitted, per_image
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.errors import AttackError
from hqc_ray.later import later
from hqc_ray.seeds import stream

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

Search: TypeAlias = "Callable[[View, Tensor, Tensor, Sequence[float], torch.Generator], Iterator[Tensor | None]]"  # see `Attack`


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
    """A search among several, the names of its random stream (none: that of the whole), and what errors call it.

    One that is `shared` serves every epsilon: nested epsilons take its next candidate, and run it once.
    """

    search: Search
    names: tuple[str | int, ...]
    label: str
    shared: bool = False


def restarted(search: Search, restarts: int, norm: Norm, label: str, nested: bool = False) -> Search:
    """The strongest of `restarts` runs of one search, each from its own random numbers; the first has those of a single run."""
    return strongest([Run(search, ("restart", k) if k else (), label) for k in range(restarts)], norm, nested)


def strongest(runs: Sequence[Run], norm: Norm, nested: bool = False) -> Callable[..., Iterator[Tensor]]:
    """One search out of several, run in their order: at each epsilon, the candidate with the largest margin of each image.

    Where the view's model decides, each run works on the images only that no earlier one has fooled, and the first fooling
    candidate is kept. Where another one decides, each run works on all of them. The margin of a sampled model is that of its
    exact twin, where that is at hand: no candidate wins because one noisy look was lucky.

    With `nested` epsilons, in rising order, what was found at a smaller one counts at the larger ones as well: who has fallen
    is not searched again.
    """

    def several(
        view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        hunt = _Hunt(runs, norm, view, values, labels, generator.initial_seed())
        for i, epsilon in enumerate(epsilons):
            if not nested:
                hunt = _Hunt(runs, norm, view, values, labels, generator.initial_seed())
            yield hunt.at(epsilons[i:] if nested else [epsilon])

    return several


class _Started(NamedTuple):
    """A run over the images `ids` [n], and its candidates, one per epsilon."""

    ids: Tensor
    part: View
    candidates: Iterator[Tensor | None]


class _Hunt:
    """Several runs over values [B, ...] with labels [B], at one epsilon or at several nested ones."""

    def __init__(self, runs: Sequence[Run], norm: Norm, view: View, values: Tensor, labels: Tensor, seed: int) -> None:
        self.runs, self.norm, self.view, self.values, self.labels, self.seed = runs, norm, view, values, labels, seed
        self.best, self.margins = values.clone(), values.new_full((len(values),), -torch.inf)
        self.lost = torch.ones(len(values), dtype=torch.bool, device=values.device)  # no run has yielded anything finite
        self.left = torch.arange(len(values), device=values.device)
        self.started: dict[int, _Started] = {}

    def at(self, epsilons: Sequence[float]) -> Tensor:
        """The best candidate of each image, [B, ...], at the first of `epsilons`; the others are still to come."""
        for number, run in enumerate(self.runs):
            if not len(self.left):
                break
            found, not_finite = self._found(number, run, epsilons)
            left, labels = self.left, self.labels[self.left]
            self.lost[left] &= not_finite
            logits = self.view.expected(found)
            reached = margin(logits, labels).to(self.margins).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
            self.best[left] = torch.where(per_image(reached > self.margins[left], found), found, self.best[left])
            self.margins[left] = torch.maximum(reached, self.margins[left])
            if self.view.decides:
                self.left = left[(~fooled(logits, labels)).nonzero()[:, 0]]
        return self.best.masked_fill(per_image(self.lost, self.best), torch.nan)

    def _found(self, number: int, run: Run, epsilons: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Candidates for the images that are left, in the ball of the first of `epsilons`, and which of them are not finite."""
        wanted = epsilons if run.shared else epsilons[:1]
        one = self.started.get(number) or self._start(run, wanted)
        if run.shared:
            self.started[number] = one
        candidates = next(one.candidates)
        found, not_finite = admitted(candidates, self.values[one.ids], epsilons[0], self.norm, self.view.space, run.label)
        if len(wanted) == 1:
            next(one.candidates, None)  # there are no more, or it raises
        self.view.absorb(one.part, one.ids)
        if len(one.ids) == len(self.left):
            return found, not_finite
        still = torch.searchsorted(one.ids, self.left)
        return found[still], not_finite[still]

    def _start(self, run: Run, epsilons: Sequence[float]) -> _Started:
        ids, generator = self.left, torch.Generator().manual_seed(stream(self.seed, *run.names) if run.names else self.seed)
        part = self.view.part(ids, *run.names)
        searching = run.search(part, self.values[ids], self.labels[ids], epsilons, generator)
        return _Started(ids, part, one_each(searching, len(epsilons), run.label))
