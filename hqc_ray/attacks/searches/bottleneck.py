"""An attack on the bottleneck: it aims at a point in front of the circuit at which the circuit is wrong, not at a higher loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from hqc_ray.attacks.balls import Norm, per_image, project, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.cut import Cut, has_bottleneck
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.attacks.searches.loop import iterate
from hqc_ray.attacks.searches.targets import Linear, Targets, bounded_head
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_SCALES = (0.25, 0.5, 0.75, 1.0)  # of the way to the end of the reach: what lies behind a barrier may be wrong again


class Bottleneck(Attack):
    """Aims at pre-activations at which the exact head is wrong, and climbs towards them in the space of the values.

    The gradient of a loss drives tanh into a corner of the cube of angles, and where the head is right in that corner it is
    trapped: with a trigonometric head the corner can be a local minimum of the margin. Behind the pre-activations u the model is
    small and exact, so it is simply evaluated, at many points that the ball can reach:

    1. Q gradients give du/dx. Of the ball, linearised, the extreme points along ways of u (see `Targets`), and points on the way
       to them, are candidates; the head is evaluated at all of them, and the one with the largest margin is the target.
    2. The values jump towards it, and then climb: steps down the distance to the target, measured by how far the values have
       to move for it (the metric of du/dx). The whole model judges every iterate.
    3. Images that are still right are linearised again where they are now, and aim once more.

    It needs no gradient of the circuit. A model without a bottleneck is cut at its logits.

    Attributes:
        directions: random directions of u that are tried in each round; 0 switches them off.
        counterexamples: tries the way to about the nearest point at which the head is wrong, of a head that has certificates.
        neighbours: nearest training images of other classes towards which it tries to go, where these are known.
        rounds: targets per image.
        steps: of the climb to each target; their size falls from 2.5 * epsilon / steps to 0.
        budget: gradients of an image at which no more is spent; the first round is always whole.
    """

    title: ClassVar[str] = "Bottleneck"
    random: ClassVar[bool] = True
    one_search: ClassVar[bool] = False
    directions: int = Field(128, ge=0, le=10_000)
    counterexamples: bool = False
    neighbours: int = Field(0, ge=0, le=1000)
    rounds: int = Field(3, ge=1, le=1000)
    steps: int = Field(8, ge=1, le=10_000)
    budget: int = Field(40, ge=1, le=1_000_000)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Two targets, few directions."""
        return cls(**{"directions": 16, "rounds": 2, "steps": 3, **options})

    def applies(self, view: View) -> bool:
        """Where there is a bottleneck, and it knows something to aim at; elsewhere it climbs to logits, as others do."""
        near = self.neighbours and view.landmarks is not None
        knows = self.directions or near or (self.counterexamples and bounded_head(view) is not None)
        return super().applies(view) and has_bottleneck(view.model) and bool(knows)

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if not (self.directions or self.counterexamples or self.neighbours):
            raise ValueError("directions, counterexamples and neighbours are all switched off: there is nothing to aim at")
        return self

    @property
    def varies(self) -> bool:
        """Where it tries random directions."""
        return self.directions > 0

    @property
    def wants_landmarks(self) -> bool:
        """Where it aims at neighbours."""
        return self.neighbours > 0

    @property
    def needs_bottleneck(self) -> bool:
        """Random directions are known of any model, the other targets only of one with a bottleneck."""
        return not self.directions

    @property
    def aims(self) -> bool:
        """Yes."""
        return True

    def per_search(self, n_classes: int) -> float:
        """The whole budget of a model that is cut at its logits; with Q pre-activations, Q + steps per round."""
        one = n_classes + self.steps
        return float(max(one, min(self.rounds * one, self.budget)))

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the iterate of each image with the largest margin, the first that fools where this model decides."""
        cut = Cut(view)
        targets = Targets(view, cut, self.directions, self.counterexamples, self.neighbours)
        for epsilon in epsilons:
            run = _Run(view, cut, targets, values, labels, epsilon, self.norm)
            yield run.best_of(self.rounds, self.steps, self.budget, generator)


class _Aim(NamedTuple):
    """Of n images: targets [n, Q], the metric of u in the space of the values [n, Q, Q], and where the jump ends [n, ...]."""

    targets: Tensor
    metric: Tensor
    jumped: Tensor


@dataclass
class _Run:
    """One search at one epsilon over values [B, ...] with labels [B]."""

    view: View
    cut: Cut
    targets: Targets
    values: Tensor
    labels: Tensor
    epsilon: float
    norm: Norm

    def best_of(self, rounds: int, steps: int, budget: int, generator: torch.Generator) -> Tensor:
        """The candidate with the largest margin of each image, [B, ...]."""
        self.best, self.x = self.values.clone(), self.values.clone()
        self.margins = self.values.new_full((len(self.values),), -torch.inf)
        left = torch.arange(len(self.values), device=self.values.device)
        spent = 0
        for number in range(rounds):
            aim = self._aim(left, generator)
            self.x[left] = aim.jumped
            spent += aim.targets.shape[1]
            taken = min(steps, budget - spent) if number else steps
            left = left[self._climb(left, aim, taken)]
            spent += taken
            if not len(left) or spent + aim.targets.shape[1] > budget:
                break
        return self.best

    def _aim(self, left: Tensor, generator: torch.Generator) -> _Aim:
        """Linearise the images `left` [n] where they are, and choose a target for each."""
        linear = Linear.of(*self.cut.jacobian(self.x[left]))
        at = linear.at
        ways = self.targets.ways(linear, self.labels[left], self.epsilon, self.norm, generator)  # [n, M, Q]
        scales = torch.tensor(_SCALES).to(at)
        images = zip(left.tolist(), ways, linear.gradients, strict=True)
        reach = torch.stack([self._reach(i, own, rows) for i, own, rows in images])  # [n, M, Q]
        points = (at[:, None, None] + scales[:, None] * reach[:, :, None]).flatten(1, 2)  # [n, M * scales, Q]
        labels = self.labels[left].repeat_interleave(points.shape[1])
        chosen = margin(self.cut.logits(points).flatten(0, 1), labels).reshape(len(left), -1).nan_to_num(torch.inf).argmax(1)
        rows = torch.arange(len(left), device=left.device)
        way = ways[rows, chosen.div(len(scales), rounding_mode="floor")]
        ends = self._end(self.values[left], torch.einsum("nq,nq...->n...", way, linear.gradients))
        jumped = self.view.space.clip(self.x[left] + per_image(scales[chosen % len(scales)], ends) * (ends - self.x[left]))
        return _Aim(points[rows, chosen], linear.metric, jumped)

    def _reach(self, image: int, ways: Tensor, gradients: Tensor) -> Tensor:
        """How far u of an image moves, to first order, at the ends of the ball along `ways` [M, Q] of u: [M, Q]."""
        along = torch.einsum("mq,q...->m...", ways, gradients)
        moved = self._end(self.values[image].expand_as(along), along) - self.x[image]
        return moved.flatten(1) @ gradients.flatten(1).mT

    def _end(self, values: Tensor, along: Tensor) -> Tensor:
        """The end of the ball around `values` [n, ...] along `along` [n, ...], in the box."""
        return project(values + self.epsilon * steepest(along, self.norm), values, self.epsilon, self.norm, self.view.space)

    def _climb(self, left: Tensor, aim: _Aim, steps: int) -> Tensor:
        """Climb from where the images `left` [n] are towards their targets; which of them [n] are not fooled."""
        right = self._judge(left, self.cut.at(self.x[left]))
        taken = 0

        def look(active: Tensor) -> tuple[Tensor, Tensor]:
            targets, metric = aim.targets[going[active]], aim.metric[going[active]]

            def closeness(points: Tensor) -> Tensor:
                away = points - targets
                return -torch.einsum("nq,nqr,nr->n", away, metric, away) / 2

            found = self.cut.pull(self.x[left[going[active]]], closeness)
            return found.at, found.gradient

        def move(active: Tensor, gradients: Tensor) -> None:
            nonlocal taken
            ids, size = left[going[active]], 2.5 * self.epsilon / steps * (1 - taken / steps)
            moved = self.x[ids] + size * steepest(gradients, self.norm)
            self.x[ids] = project(moved, self.values[ids], self.epsilon, self.norm, self.view.space)
            taken += 1

        def finished(active: Tensor, at: Tensor, _: Tensor) -> Tensor:
            right[going[active]] = self._judge(left[going[active]], at)
            return ~right[going[active]]

        going = right.nonzero()[:, 0]
        if len(going):
            iterate(going, steps, look, move, finished)
            going = right.nonzero()[:, 0]
        if len(going):
            right[going] = self._judge(left[going], self.cut.at(self.x[left[going]]))
        return right

    def _judge(self, ids: Tensor, at: Tensor) -> Tensor:
        """Keep iterates that are better than those before, of images `ids` [n] with pre-activations [n, Q]; who goes on [n]."""
        logits, labels = self.cut.logits(at), self.labels[ids]
        reached = margin(logits, labels).to(self.margins).nan_to_num(torch.inf)
        better = ids[reached > self.margins[ids]]
        self.best[better] = self.x[better]
        self.margins[ids] = torch.maximum(reached, self.margins[ids])
        return ~fooled(logits, labels) if self.view.decides else torch.ones_like(labels, dtype=torch.bool)
