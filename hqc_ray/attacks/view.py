"""A model as the attacks see it: logits and gradients of its input, counted; what it hands out is a copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hqc_ray.attacks.borrowed import Borrowed
from hqc_ray.attacks.losses import Loss, cross_entropy, predicted, runners_up
from hqc_ray.attacks.spaces import PIXELS, Space
from hqc_ray.errors import AttackError

Classify = Callable[[Tensor], Tensor]  # values [B, ...] of a space (images [B, C, H, W]) -> logits [B, K]


@dataclass
class Counts:
    """Work done, per image: a batch of 50 counts 50. A gradient counts as a forward as well."""

    gradients: int = 0
    forwards: int = 0

    def __sub__(self, earlier: Counts) -> Counts:
        return Counts(self.gradients - earlier.gradients, self.forwards - earlier.forwards)


class Gradient(NamedTuple):
    """The gradient [B, ...] of a loss, the losses [B] and the logits [B, K] that it was taken at."""

    gradient: Tensor
    losses: Tensor
    logits: Tensor


class Differences(NamedTuple):
    """z[other] - z[label] for k other classes: gradients [B, k, ...], differences [B, k], logits [B, K], others [B, k]."""

    gradients: Tensor
    differences: Tensor
    logits: Tensor
    others: Tensor


class View:
    """The model, during one search over one batch.

    A stochastic model has `drawn(k)`, its k-th independent draw (and says by `stochastic`, where that is not always so). Its
    gradients can be averages over several of them, expectation over transformation: Athalye et al., arXiv 1707.07397.

    Args:
        model: values [B, ...] -> logits [B, K].
        n_values: B of the whole batch; the first gradient that covers it says which values have a bad one.
        space: of the values: its box, and the unit of epsilon.
        decides: whether this model is also the one that judges success.
        borrowed: of other models, for these values.

    Attributes:
        draws: of a stochastic model, over which each gradient is averaged.
        decides: False where another model judges (sampled devices, transfer): fooling this one just barely is then
            not enough, and a search should use its whole budget.
    """

    def __init__(
        self, model: Classify, n_values: int, space: Space = PIXELS, decides: bool = True, borrowed: Borrowed | None = None
    ) -> None:
        self._model = model
        self._n_values, self._next_draw = n_values, 0
        self._stochastic = bool(getattr(model, "stochastic", hasattr(model, "drawn")))
        self.draws = 1
        self.space, self.decides, self.borrowed = space, decides, borrowed or Borrowed()
        self._counts = Counts()
        self._bad_gradient: Tensor | None = None

    @property
    def counts(self) -> Counts:
        """Work done so far."""
        return replace(self._counts)

    @property
    def bad_gradient(self) -> Tensor | None:
        """[n_values] bool, gradient all zero or not finite at the first step; None before any."""
        return None if self._bad_gradient is None else self._bad_gradient.clone()

    @property
    def model(self) -> Classify:
        """What is attacked. Whoever runs it says so by `ran`."""
        return self._model

    def ran(self, n_values: int) -> None:
        """Count a forward of so many values."""
        self._counts.forwards += n_values

    def logits(self, values: Tensor) -> Tensor:
        """Logits [B, K] of `values` [B, ...], without a gradient."""
        with torch.no_grad():
            return self._forward(self._model, values)

    def predictions(self, values: Tensor) -> Tensor:
        """Predicted classes [B] of `values` [B, ...]; -1 where a logit is not a number."""
        return predicted(self.logits(values))

    def gradient(self, values: Tensor, labels: Tensor, loss: Loss = cross_entropy, draws: int | None = None) -> Gradient:
        """The gradient of `loss` at `values` [B, ...] with labels [B].

        Args:
            values: [B, ...].
            labels: [B] int64.
            loss: what is differentiated, per image.
            draws: of a stochastic model, over which gradient, losses and logits are averaged; None: the view's.
        """
        found = Gradient(*_mean([self._gradient(model, values, labels, loss) for model in self._models(draws)]))
        self.record(found.gradient)
        return found

    def differences(self, values: Tensor, labels: Tensor, others: Tensor | int) -> Differences:
        """Logit differences z[other] - z[label] and their gradients, of k other classes, from one forward per draw.

        Args:
            values: [B, ...].
            labels: [B].
            others: the other classes [B, k], or k: the most likely ones (fewer if the model has fewer).
        """
        parts: list[Differences] = []
        for model in self._models(None):
            parts.append(self._differences(model, values, labels, parts[0].others if parts else others))
        gradients, differences, logits = _mean([p[:3] for p in parts])
        found = Differences(gradients, differences, logits, parts[0].others)
        self.record(found.gradients)
        return found

    def module(self) -> nn.Module:
        """The model as a differentiable torch module, values [B, ...] -> logits [B, K], for libraries with attacks of their own.

        Its forwards and the gradients that are taken through it count in `counts`, whoever calls `backward`.
        """
        return _Counted(self)

    def rewind(self) -> None:
        """Begin another search: no gradient is seen yet, and a stochastic model's draws are those from the first one on."""
        self._bad_gradient, self._next_draw = None, 0

    def part(self, ids: Tensor) -> View:
        """The view of another search, over the values at `ids` [n] alone; it counts together with this one."""
        part = copy.copy(self)
        part._n_values, part.borrowed = len(ids), self.borrowed.of(ids)
        part.rewind()
        return part

    def beside(self, model: Classify) -> View:
        """The view of another model for the same values, which does not decide; it counts together with this one."""
        other = copy.copy(self)
        other._model, other._stochastic, other.decides = model, False, False
        other.rewind()
        return other

    def absorb(self, part: View, indices: Tensor) -> None:
        """Take over the bad gradients of a `part` that saw the values at `indices`, if this view has seen no gradient yet."""
        if self._bad_gradient is None and part._bad_gradient is not None:
            self._bad_gradient = torch.zeros(self._n_values, dtype=torch.bool, device=indices.device)
            self._bad_gradient[indices] = part._bad_gradient

    def _models(self, draws: int | None) -> Iterator[Classify]:
        """The model itself, or as many new draws of it as are averaged."""
        draws = self.draws if draws is None else draws
        if draws == 1 or not self._stochastic:
            yield self._model
            return
        for _ in range(draws):
            yield self._model.drawn(self._next_draw)  # type: ignore[attr-defined]  # _stochastic says that it has it
            self._next_draw += 1

    def _gradient(self, model: Classify, values: Tensor, labels: Tensor, loss: Loss) -> Gradient:
        with torch.enable_grad():
            values = values.detach().requires_grad_(True)
            logits = self._forward(model, values)
            losses = loss(logits, labels)
            gradient = self.backward(losses.sum(), values, keep_graph=False)
        return Gradient(gradient, losses.detach(), logits.detach())

    def _differences(self, model: Classify, values: Tensor, labels: Tensor, others: Tensor | int) -> Differences:
        with torch.enable_grad():
            values = values.detach().requires_grad_(True)
            logits = self._forward(model, values)
            if isinstance(others, int):
                others = runners_up(logits.detach(), labels, others)
            differences = logits.gather(1, others) - logits.gather(1, labels[:, None])
            totals = differences.sum(0)
            gradients = torch.stack([self.backward(t, values, keep_graph=i + 1 < len(totals)) for i, t in enumerate(totals)], 1)
        return Differences(gradients, differences.detach(), logits.detach(), others)

    def _forward(self, model: Classify, values: Tensor) -> Tensor:
        self._counts.forwards += len(values)
        return check_logits(model(values), len(values))

    def backward(self, total: Tensor, values: Tensor, keep_graph: bool) -> Tensor:
        """The gradient [B, ...] of `total`, a number, at `values` [B, ...]: one per value, counted."""
        self._counts.gradients += len(values)
        if not total.requires_grad:  # a model that does not depend on its input: a zero gradient, which is recorded as bad
            return torch.zeros_like(values)
        gradient = torch.autograd.grad(total, values, retain_graph=keep_graph, allow_unused=True)[0]
        return torch.zeros_like(values) if gradient is None else gradient.contiguous()

    def record(self, gradients: Tensor) -> None:
        """Say which values have a bad gradient: those of the first [n_values, ...] that are seen count."""
        if self._bad_gradient is None and len(gradients) == self._n_values:
            flat = gradients.flatten(1)
            self._bad_gradient = (flat == 0).all(1) | ~flat.isfinite().all(1)


class _Counted(nn.Module):
    """See `View.module`. It stays in evaluation mode, whatever a library asks for."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.training = False
        self._view, self._model = view, view._model  # a torch module is registered: its weights and device are found here

    def forward(self, values: Tensor) -> Tensor:
        """Logits [B, K] of `values` [B, ...]."""
        if torch.is_grad_enabled() and values.requires_grad:
            values = values.view_as(values)
            values.register_hook(self._count)
        return self._view._forward(self._model, values)

    def train(self, mode: bool = True) -> _Counted:
        """Nothing: dropout and batch statistics stay off during an attack."""
        return self

    def _count(self, gradient: Tensor) -> None:
        self._view._counts.gradients += len(gradient)
        self._view.record(gradient)


def _mean(parts: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """The mean of each member of equal tuples; of one tuple, its own tensors."""
    return [members[0] if len(parts) == 1 else torch.stack(members).mean(0) for members in zip(*parts, strict=True)]


def check_logits(logits: Tensor, n_values: int) -> Tensor:
    """`logits` as they are.

    Raises:
        AttackError: they are not [n_values, K] with at least two classes.
    """
    if logits.dim() != 2 or len(logits) != n_values or logits.shape[1] < 2:
        raise AttackError(f"outputs of shape {list(logits.shape)} for {n_values} images", where="model", valid="[B, K], K >= 2")
    return logits


def outputs_normalised(logits: Tensor) -> bool:
    """Whether every row of `logits` [B, K] looks like probabilities: no entry below 0, sums of 1.

    A model that ends in a softmax hides its gradient from every attack on its logits.
    """
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all())
