"""A model as the attacks see it: logits and gradients of images, counted, with the weights frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hqc_ray.attacks.spaces import PIXELS, Space
from hqc_ray.errors import AttackError

Classify = Callable[[Tensor], Tensor]  # images [B, C, H, W] -> logits [B, K]

_ROUNDING = 1e-5  # of the largest logit; float32 logits of one image differ by less between batches


@dataclass
class Counts:
    """Work done, in images: a batch of 50 counts 50. A gradient counts as a forward as well."""

    gradients: int = 0
    forwards: int = 0

    def __sub__(self, earlier: Counts) -> Counts:
        return Counts(self.gradients - earlier.gradients, self.forwards - earlier.forwards)


class View:
    """The model, during one search over one batch.

    Args:
        model: images [B, C, H, W] -> logits [B, K].
        n_images: B of the whole batch; the first gradient that covers it says which images have a bad one.
        decides: whether this model is also the one that judges success.

    Attributes:
        counts: work done so far.
        decides: False where another model judges (sampled devices, transfer): fooling this one just barely is then
            not enough, and a search should use its whole budget.
        bad_gradient: [n_images] bool, gradient all zero or not finite at the first step; None before any.
    """

    def __init__(self, model: Classify, n_images: int, space: Space = PIXELS, decides: bool = True) -> None:
        self.space = space
        self._model = model
        self._n_images = n_images
        self.decides = decides
        self.counts = Counts()
        self.bad_gradient: Tensor | None = None

    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, K] of `images` [B, C, H, W], without a gradient."""
        with torch.no_grad():
            return self._forward(images)

    def gradient(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient of the cross-entropy on the logits, divided by 1 - p(label), [B, C, H, W], and the logits [B, K].

        That is the gradient of logsumexp(z[others]) - z[label]: the direction of the cross-entropy's, but neither rounded
        nor 0 for a model that is sure of itself. (In float32 the loss itself is 0 from a logit difference of 17 on, and
        its gradient has wrong signs long before.)
        """
        with torch.enable_grad():
            images = images.detach().requires_grad_(True)
            logits = self._forward(images)
            own = logits.gather(1, labels[:, None])[:, 0]
            margins = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1) - own
            gradient = self._backward(margins.sum(), images, keep_graph=False)
        self._record(gradient)
        return gradient, logits.detach()

    def differences(self, images: Tensor, labels: Tensor, others: Tensor | int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logit differences z[other] - z[label] and their gradients, of k other classes, from one forward.

        Args:
            images: [B, C, H, W].
            labels: [B].
            others: the other classes [B, k], or k: the most likely ones (fewer if the model has fewer).

        Returns:
            gradients [B, k, C, H, W], differences [B, k], logits [B, K], others [B, k].
        """
        with torch.enable_grad():
            images = images.detach().requires_grad_(True)
            logits = self._forward(images)
            if isinstance(others, int):
                others = _runners_up(logits.detach(), labels, others)
            differences = logits.gather(1, others) - logits.gather(1, labels[:, None])
            totals = differences.sum(0)
            gradients = torch.stack([self._backward(t, images, keep_graph=i + 1 < len(totals)) for i, t in enumerate(totals)], 1)
        self._record(gradients)
        return gradients, differences.detach(), logits.detach(), others

    def _forward(self, images: Tensor) -> Tensor:
        self.counts.forwards += len(images)
        return check_logits(self._model(images), len(images))

    def _backward(self, total: Tensor, images: Tensor, keep_graph: bool) -> Tensor:
        self.counts.gradients += len(images)
        if not total.requires_grad:  # a model that does not depend on its input: a zero gradient, which is recorded as bad
            return torch.zeros_like(images)
        gradient = torch.autograd.grad(total, images, retain_graph=keep_graph, allow_unused=True)[0]
        return torch.zeros_like(images) if gradient is None else gradient.contiguous()

    def _record(self, gradients: Tensor) -> None:
        if self.bad_gradient is None and len(gradients) == self._n_images:
            flat = gradients.flatten(1)
            self.bad_gradient = (flat == 0).all(1) | ~flat.isfinite().all(1)


def _runners_up(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    rivals = logits.scatter(1, labels[:, None], -torch.inf)
    return rivals.topk(min(k, logits.shape[1] - 1), dim=1).indices


def check_logits(logits: Tensor, n_images: int) -> Tensor:
    """`logits` as they are.

    Raises:
        AttackError: they are not [n_images, K] with at least two classes.
    """
    if logits.dim() != 2 or len(logits) != n_images or logits.shape[1] < 2:
        raise AttackError(f"outputs of shape {list(logits.shape)} for {n_images} images", where="model", valid="[B, K], K >= 2")
    return logits


def fooled(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images [B] are misclassified by more than rounding, so that it holds in another batch as well."""
    own = logits.gather(1, labels[:, None])[:, 0]
    best_other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return ~(best_other - own <= _ROUNDING * logits.abs().amax(1))  # NaN counts as misclassified


def outputs_normalised(logits: Tensor) -> bool:
    """Whether every row of `logits` [B, K] looks like probabilities: no entry below 0, sums of 1.

    A model that ends in a softmax hides its gradient from every attack on its logits.
    """
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all())


@contextmanager
def frozen(*models: object) -> Iterator[None]:
    """Evaluation mode and no gradients for the weights of those of `models` that are torch modules; all restored afterwards."""
    modules = [m for model in models if isinstance(model, nn.Module) for m in model.modules()]
    modes = [(m, m.training) for m in modules]
    wanted = [(p, p.requires_grad) for m in modules for p in m.parameters(recurse=False)]
    try:
        for m in modules:
            m.train(False)
        for p, _ in wanted:
            p.requires_grad_(False)
        yield
    finally:
        for m, mode in modes:
            m.training = mode
        for p, want in wanted:
            p.requires_grad_(want)
