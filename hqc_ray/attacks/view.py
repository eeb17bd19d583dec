"""A model as the attacks see it: logits and gradients of its input, counted; what it hands out is a copy."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.attacks.borrowed import Borrowed
from hqc_ray.attacks.counts import Counts, Differences, Gradient, mean
from hqc_ray.attacks.landmarks import Landmarks
from hqc_ray.attacks.losses import Loss, check_logits, cross_entropy, predicted, runners_up
from hqc_ray.attacks.spaces import PIXELS, Space
from hqc_ray.seeds import stream

Classify = Callable[[Tensor], Tensor]  # values [B, ...] of a space (images [B, C, H, W]) -> logits [B, K]


class View:
    """The model, during one search over one batch.

    A stochastic model has `drawn(k)`, its k-th independent draw (and says by `stochastic`, where that is not always so). Its
    gradients can be averages over several of them, expectation over transformation: Athalye et al., arXiv 1707.07397. Where its
    exact twin is at hand, which is the mean of infinitely many draws, candidates are compared by `expected`, not by one draw.

    Args:
        model: values [B, ...] -> logits [B, K].
        n_values: B of the whole batch; the first gradient that covers it says which values have a bad one.
        space: of the values: its box, and the unit of epsilon.
        decides: whether this model is also the one that judges success.
        exact: the exact twin of a stochastic model, values [B, ...] -> logits [B, K].
        landmarks: training images, where the attacker knows some.
        borrowed: of other models, for these values.

    Attributes:
        noisy: logits are random samples, and there is an exact twin.
        draws: of a stochastic model, over which each gradient is averaged.
        seed: of the random streams that are an image's own, whatever batch it is in.
        decides: False where another model judges (sampled devices, transfer): fooling this one just barely is then
            not enough, and a search should use its whole budget.
    """

    def __init__(
        self,
        model: Classify,
        n_values: int,
        space: Space = PIXELS,
        decides: bool = True,
        exact: Classify | None = None,
        landmarks: Landmarks | None = None,
        borrowed: Borrowed | None = None,
    ) -> None:
        self._model, self._exact = model, exact
        self._n_values, self._next_draw = n_values, 0
        self._stochastic = bool(getattr(model, "stochastic", hasattr(model, "drawn")))
        self.noisy = self._stochastic and exact is not None
        self.draws, self.seed = 1, 0
        self.space, self.decides, self.landmarks, self.borrowed = space, decides, landmarks, borrowed or Borrowed()
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

    @property
    def exact(self) -> Classify:
        """The model; where a look at it is noisy, its exact twin."""
        return self._exact if self.noisy and self._exact is not None else self._model

    def ran(self, n_values: int) -> None:
        """Count a forward of so many values."""
        self._counts.forwards += n_values

    def logits(self, values: Tensor) -> Tensor:
        """Logits [B, K] of `values` [B, ...], without a gradient."""
        with torch.no_grad():
            return self._forward(self._model, values)

    def expected(self, values: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits [B, K] of `values` [B, ...] by which candidates are compared: of the exact twin where a look is noisy.

        Args:
            values: [B, ...].
            seen: the model's own logits [B, K] there, if they are known: nothing is evaluated twice.
        """
        if self.noisy:
            with torch.no_grad():
                return self._forward(self.exact, values)
        return self.logits(values) if seen is None else seen

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
        found = Gradient(*mean([self._gradient(model, values, labels, loss) for model in self._models(draws)]))
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
        gradients, differences, logits = mean([p[:3] for p in parts])
        found = Differences(gradients, differences, logits, parts[0].others)
        self.record(found.gradients)
        return found

    def module(self) -> nn.Module:
        """The model as a differentiable torch module, values [B, ...] -> logits [B, K], for libraries with attacks of their own.

        Its forwards and the gradients that are taken through it count in `counts`, whoever calls `backward`. Of a stochastic
        model, logits with a gradient are means over `draws` draws, as the gradients of this view are.
        """
        return _Counted(self)

    def rewind(self) -> None:
        """Begin another search: no gradient is seen yet, and a stochastic model's draws are those from the first one on."""
        self._bad_gradient, self._next_draw = None, 0

    def generators(self, values: Tensor) -> list[torch.Generator]:
        """A random stream for each of `values` [B, ...], on the CPU: of its content and the view's seed."""
        contents = (np.ascontiguousarray(one).tobytes() for one in values.detach().cpu().numpy())
        digests = (hashlib.blake2b(content, digest_size=16).hexdigest() for content in contents)
        return [torch.Generator().manual_seed(stream(self.seed, "image", digest)) for digest in digests]

    def part(self, ids: Tensor, *names: str | int) -> View:
        """The view of another search, over the values at `ids` [n] alone; it counts together with this one.

        The `names` of its random stream tell it from others: see `seed`.
        """
        part = copy.copy(self)
        part._n_values, part.borrowed = len(ids), self.borrowed.of(ids)
        part.seed = stream(self.seed, *names) if names else self.seed
        part.rewind()
        return part

    def beside(self, model: Classify) -> View:
        """The view of another model for the same values, which does not decide; it counts together with this one."""
        other = copy.copy(self)
        other._model, other._stochastic, other.decides = model, False, False
        other._exact, other.noisy = None, False
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
        if not (torch.is_grad_enabled() and values.requires_grad):
            return self._view._forward(self._model, values)
        values, averaged = values.view_as(values), []
        values.register_hook(self._view.record)
        for model in self._view._models(None):
            own = values.view_as(values)
            own.register_hook(self._count)
            averaged.append(self._view._forward(model, own))
        return averaged[0] if len(averaged) == 1 else torch.stack(averaged).mean(0)

    def train(self, mode: bool = True) -> _Counted:
        """Nothing: dropout and batch statistics stay off during an attack."""
        return self

    def _count(self, gradient: Tensor) -> None:
        self._view._counts.gradients += len(gradient)
