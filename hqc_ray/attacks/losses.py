"""What an attack climbs, logits [B, K] and classes [B] to losses [B]: above 0 where the other classes win. And who has won."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hqc_ray.errors import AttackError
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")

Loss: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"  # logits [B, K], labels [B] -> losses [B]

_ROUNDING = 1e-5  # of the largest logit; float32 logits of one image differ by less between batches


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The log odds logsumexp(z[others]) - z[label] against the label, [B]; the cross-entropy is their softplus.

    They grow with the cross-entropy and have the direction of its gradient, but are neither rounded nor flat for a model that
    is sure of itself. (In float32 the cross-entropy is 0 from a logit difference of 17 on, and its gradient has wrong signs
    long before.) Their gradient is the cross-entropy's divided by 1 - p(label).
    """
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1) - own


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """z[other] - z[label], [B], of the other class with the largest logit. With two classes it is the log odds."""
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - own


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The difference of logits ratio: the margin over z[1st] - z[3rd], [B], so that the scale of the logits does not matter.

    Source: Croce and Hein, arXiv 2003.01690, equation (6).

    Raises:
        AttackError: fewer than three classes.
    """
    if logits.shape[1] < 3:
        raise AttackError(f"dlr for {logits.shape[1]} classes", where="loss", valid="margin; dlr from three classes on")
    largest = logits.topk(3, dim=1).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2] + 1e-12)


def targeted(targets: Tensor, loss: Loss = cross_entropy) -> Loss:
    """The loss that leads towards the classes `targets` [B], whatever the labels: `loss` about the target, negated."""
    return lambda logits, labels: -loss(logits, targets)


def fooled(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images [B] are misclassified by more than rounding, so that it holds in another batch as well."""
    return ~(margin(logits, labels) <= _ROUNDING * logits.abs().amax(1))  # NaN counts as misclassified


def at_boundary(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images [B] are misclassified, or would be but for rounding."""
    return ~(margin(logits, labels) < -_ROUNDING * logits.abs().amax(1))


def predicted(logits: Tensor) -> Tensor:
    """Predicted classes [B]; -1, which is no class, where a logit is not a number."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)


def runners_up(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """The k classes [B, k] with the largest logits but for the label; fewer where there are no more."""
    return logits.scatter(1, labels[:, None], -torch.inf).topk(min(k, logits.shape[1] - 1), dim=1).indices


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
