"""What a call of the contract returns: what was found per epsilon, and what each judge says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from hqc_ray.attacks.borrowed import Fallen
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")


@dataclass(frozen=True)
class Found:
    """What a search found at one epsilon. It does not depend on the other epsilons of the call, unless the attack nests them.

    Attributes:
        epsilon: radius of the ball in the attack's norm, in the unit of the space.
        linf: [N] float64, norm of the perturbation in that unit; 0 for images that were not attacked.
        l2: [N] float64, likewise.
        bad_gradient: [N] bool, attacked images whose first gradient (at the clean value, PGD: at its start) was all zero
            or not finite; all False for attacks without gradients, and at epsilon 0.
        not_finite: [N] bool, attacked images whose candidate held a NaN or an infinity: they stay as they are, not fooled.
        gradients: input gradients of single images that this epsilon costs on its own; of nested ones, on top of the smaller.
        forwards: evaluations of single images that this epsilon costs on its own, those of the gradients included, those of
            judges not.
        adversarial: [k, ...], the first k values of the call after the attack, on the CPU.
    """

    epsilon: float
    linf: np.ndarray
    l2: np.ndarray
    bad_gradient: np.ndarray
    not_finite: np.ndarray
    gradients: int
    forwards: int
    adversarial: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """What was found at one epsilon in consecutive batches, as one."""
        return cls(
            epsilon=parts[0].epsilon,
            linf=np.concatenate([p.linf for p in parts]),
            l2=np.concatenate([p.l2 for p in parts]),
            bad_gradient=np.concatenate([p.bad_gradient for p in parts]),
            not_finite=np.concatenate([p.not_finite for p in parts]),
            gradients=sum(p.gradients for p in parts),
            forwards=sum(p.forwards for p in parts),
            adversarial=torch.cat([p.adversarial for p in parts]),
        )


@dataclass(frozen=True)
class Predictions:
    """What a judge says of N images.

    Attributes:
        own: [R, N] int64, predicted classes in R evaluations, -1 where the logits are not a number; R = 1 if it is exact.
        replicates: [M, N] int64, how as many other measurements of a measured surrogate would decide; `own` where it is exact.
    """

    own: np.ndarray
    replicates: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What one judge says of the clean images, and of those after the attack: an entry per epsilon, in the order asked for.

    An image that the attack left as it was keeps the predictions that it had.

    Attributes:
        clean: before the attack.
        attacked: after it.
        rounded: after it, as images of 8 bits; empty at other levels than pixels.
    """

    clean: Predictions
    attacked: list[Predictions]
    rounded: list[Predictions]

    def clean_correct(self, labels: np.ndarray) -> np.ndarray:
        """[N] bool: right before the attack, in the first evaluation."""
        return self.clean.own[0] == labels

    def correct(self, labels: np.ndarray) -> list[np.ndarray]:
        """[N] bool per epsilon: right before and after, in the first evaluation; the mean is the robust accuracy."""
        return [self.clean_correct(labels) & (after.own[0] == labels) for after in self.attacked]


@dataclass(frozen=True)
class Result:
    """What one search found on N images, and what its judges say.

    Attributes:
        clean_predictions: [N] int64 of the attacked model, -1 where its logits are not a number.
        attacked: [N] bool.
        gradients: input gradients of single images, computed for all epsilons together.
        forwards: evaluations of single images by the search, for all epsilons together, those of the gradients included.
        outputs_normalised: the attacked model's outputs look like probabilities, not logits.
        per_epsilon: what was found, in the order asked for.
        verdicts: of the judges, in their order.
        members: of an ensemble: those that ran, in their order.
        fallen: who fell first at which epsilon, where that was asked for.
    """

    clean_predictions: np.ndarray
    attacked: np.ndarray
    gradients: int
    forwards: int
    outputs_normalised: bool
    per_epsilon: list[Found]
    verdicts: list[Verdict]
    members: tuple[str, ...] = ()
    fallen: Fallen | None = None
