"""The Square attack: random search with squares on the surface of the ball; it asks for logits only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hqc_ray.attacks.balls import per_image, project, steepest
from hqc_ray.attacks.base import QUERY, Attack
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries: where the share of a square is halved
_TILES = 5  # along each side, of the first perturbation in l2


class Square(Attack):
    """Square attack in linf or l2: a square of the perturbation is drawn anew, and kept where the margin rises.

    Source: Andriushchenko et al., arXiv 1912.00049, algorithms 1 to 3, with the schedule of section 5 for any number of queries.
    Each image has random squares of its own. What is longer than wide has rectangles instead; features and angles are one row.

    Attributes:
        queries: evaluations of the model per image, the first perturbation included.
        p: share of the image that the first squares cover.
    """

    random: ClassVar[bool] = True
    one_search: ClassVar[bool] = False
    black_box: ClassVar[bool] = True
    queries: int = Field(5000, ge=1, le=1_000_000)
    p: float = Field(0.8, gt=0, le=1)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """A hundred queries."""
        return cls(**{"queries": 100, **options})

    def per_search(self, n_classes: int) -> float:
        """All queries, in gradients."""
        return QUERY * self.queries

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the perturbation of each image with the largest margin, the first that fools where this model decides."""
        for epsilon in epsilons:
            yield _Walk(self, view, values, labels, epsilon, generator).best()

    def side(self, query: int, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the square at query number `query` (0 is the first after the start) in an image."""
        at = int(query / self.queries * 10_000)
        share = self.p / 2 ** sum(at > mark for mark in _HALVED)
        side = round(math.sqrt(share * height * width))
        side = max(side, 1) if self.norm == "linf" else max(side, 3) // 2 * 2 + 1
        if side <= min(height, width):
            return side, side
        short = min(height, width)
        long = min(max(round(share * height * width / short), min(side, 3)), max(height, width))
        return (short, long) if height <= width else (long, short)


@dataclass
class _Walk:
    """One search over values [B, ...] with labels [B]; perturbations are [B, C, H, W] (C, H = 1 where values have fewer axes)."""

    attack: Square
    view: View
    values: Tensor
    labels: Tensor
    epsilon: float
    generator: torch.Generator

    def best(self) -> Tensor:
        """The best candidate of each image, [B, ...]."""
        batch, shape = len(self.values), self.values.shape[1:]
        self.shape = (batch, *[1] * (3 - len(shape)), *shape)
        start = self._stripes() if self.attack.norm == "linf" else self._tiles()
        x = self._moved(start, slice(None))
        logits = self.view.logits(x)
        margins = margin(logits, self.labels).nan_to_num(torch.inf)
        left = self._left(torch.arange(batch, device=x.device), logits)
        change = self._signs if self.attack.norm == "linf" else self._lumps
        for query in range(self.attack.queries - 1):
            if not len(left):
                break
            rows, columns = self.attack.side(query, *self.shape[2:])
            corner = torch.stack([self._whole(self.shape[2] - rows + 1), self._whole(self.shape[3] - columns + 1)])
            delta = (x[left] - self.values[left]).reshape(-1, *self.shape[1:])
            tried = self._moved(change(delta, left, corner, rows, columns), left)
            logits = self.view.logits(tried)
            reached = margin(logits, self.labels[left]).to(margins).nan_to_num(torch.inf)
            better = reached > margins[left]
            x[left] = torch.where(per_image(better, tried), tried, x[left])
            margins[left] = torch.maximum(reached, margins[left])
            left = self._left(left, logits)
        return x

    def _left(self, ids: Tensor, logits: Tensor) -> Tensor:
        return ids[(~fooled(logits, self.labels[ids])).nonzero()[:, 0]] if self.view.decides else ids

    def _moved(self, delta: Tensor, ids: Tensor | slice) -> Tensor:
        """The values of images `ids` with a perturbation of length epsilon along `delta` [n, C, H, W], in ball and box."""
        values = self.values[ids]
        along = delta.reshape(values.shape)
        if self.attack.norm == "l2":
            along = self.epsilon * steepest(along, "l2")
        return project(values + along, values, self.epsilon, self.attack.norm, self.view.space)

    def _stripes(self) -> Tensor:
        """Vertical stripes of +-epsilon."""
        batch, channels, _, width = self.shape
        return (self.epsilon * self._coins(batch, channels, 1, width)).expand(self.shape)

    def _signs(self, delta: Tensor, ids: Tensor, corner: Tensor, rows: int, columns: int) -> Tensor:
        """A square of +-epsilon, one sign per channel."""
        new = self.epsilon * self._coins(self.shape[0], self.shape[1], 1, 1)[ids]
        return _put(delta, corner[:, ids], new.expand(-1, -1, rows, columns))

    def _tiles(self) -> Tensor:
        """Lumps side by side."""
        (batch, channels, *size), sides = self.shape, [max(length // _TILES, 1) for length in self.shape[2:]]
        counts = [min(length, _TILES) for length in size]
        delta = self.values.new_zeros(self.shape)
        for row in range(counts[0]):
            for column in range(counts[1]):
                corner = [(s - n * t) // 2 + i * t for s, n, t, i in zip(size, counts, sides, (row, column), strict=True)]
                corners = torch.tensor(corner, device=delta.device)[:, None].expand(-1, batch)
                new = self._lump(*sides) * self._coins(batch, channels, 1, 1)
                delta = _put(delta, corners, new)
        return delta

    def _lumps(self, delta: Tensor, ids: Tensor, corner: Tensor, rows: int, columns: int) -> Tensor:
        """A new lump on an old square, with the length of another square, which is emptied, and what clipping has left over."""
        other = torch.stack([self._whole(self.shape[2] - rows + 1), self._whole(self.shape[3] - columns + 1)])[:, ids]
        lump, corner = self._lump(rows, columns)[ids] * self._coins(*self.shape[:2], 1, 1)[ids], corner[:, ids]
        empty = torch.zeros_like(lump)
        rest = _put(_put(delta, other, empty), corner, empty)
        free = (delta.square().sum((2, 3)) - rest.square().sum((2, 3))).clamp_min(0)  # [n, C] in both squares
        spare = (self.epsilon**2 - delta.square().sum((1, 2, 3))).clamp_min(0) / delta.shape[1]
        new = lump + _unit(_get(delta, corner, rows, columns))
        length = (free + spare[:, None]).sqrt()[:, :, None, None]
        return _put(_put(delta, other, empty), corner, length * _unit(new))

    def _lump(self, rows: int, columns: int) -> Tensor:
        """Two pyramids of opposite sign side by side or one above the other, of length 1: [B, 1, rows, columns]."""
        above, beside = _pyramids(rows, columns), _pyramids(columns, rows).T
        turned = per_image(self._coins(self.shape[0]) > 0, self.values.new_empty(1, 1, 1, 1))
        return torch.where(turned, beside.to(self.values), above.to(self.values))

    def _coins(self, *shape: int) -> Tensor:
        """Random signs."""
        coins = torch.rand(shape, generator=self.generator, dtype=torch.float64) < 0.5
        return (1.0 - 2.0 * coins).to(self.values)

    def _whole(self, end: int) -> Tensor:
        """Random whole numbers [B] from 0, below `end`."""
        return torch.randint(end, (self.shape[0],), generator=self.generator).to(self.values.device)


def _places(corner: Tensor, channels: int, rows: int, columns: int) -> tuple[Tensor, ...]:
    """Indices into [n, C, H, W] of the rectangles [rows, columns] at `corner` [2, n]."""
    device = corner.device
    image = torch.arange(corner.shape[1], device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    row = (corner[0][:, None] + torch.arange(rows, device=device))[:, None, :, None]
    return image, channel, row, (corner[1][:, None] + torch.arange(columns, device=device))[:, None, None, :]


def _get(delta: Tensor, corner: Tensor, rows: int, columns: int) -> Tensor:
    return delta[_places(corner, delta.shape[1], rows, columns)]


def _put(delta: Tensor, corner: Tensor, new: Tensor) -> Tensor:
    """A copy of `delta` [n, C, H, W] with `new` [n, C or 1, rows, columns] at `corner` [2, n]."""
    return delta.index_put(_places(corner, delta.shape[1], *new.shape[2:]), new)


def _unit(squares: Tensor) -> Tensor:
    """Each channel's square [n, C, rows, columns] with length 1; 0 where it is empty."""
    return squares / squares.square().sum((2, 3), keepdim=True).sqrt().clamp_min(1e-12)


def _pyramids(rows: int, columns: int) -> Tensor:
    """A pyramid above its negative, [rows, columns], of length 1 together."""
    both = torch.cat([_pyramid(rows // 2, columns), -_pyramid(rows - rows // 2, columns)])
    return both / both.square().sum().sqrt()


def _pyramid(rows: int, columns: int) -> Tensor:
    """Equation (2) of the source: at distance d from the centre the sum of 1 / k**2 over the rings k that lie around it."""
    if not rows:
        return torch.zeros(0, columns, dtype=torch.float64)
    rings = max(rows, columns) // 2 + 1
    heights = (1.0 / torch.arange(1, rings + 1, dtype=torch.float64) ** 2).flip(0).cumsum(0).flip(0)
    away = [(torch.arange(length) - length // 2).abs() for length in (rows, columns)]
    flat = heights[torch.maximum(away[0][:, None], away[1][None, :])]
    return flat / flat.square().sum().sqrt()
