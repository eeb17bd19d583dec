"""What a call of the contract returns: per image and per epsilon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class EpsilonResult:
    """What an attack achieved at one epsilon. It does not depend on the other epsilons of the call.

    Attributes:
        epsilon: radius of the ball in the attack's norm, pixel units of [0, 1].
        predictions: [N] int64 after the attack; the clean ones for images that were wrong from the start, -1 for NaN.
        correct: [N] bool, correct before and after: its mean is the robust accuracy.
        linf: [N] float64, norm of the perturbation, pixel units; 0 for images that were not attacked.
        l2: [N] float64, likewise.
        bad_gradient: [N] bool, attacked images whose first gradient (at the clean image, PGD: at its start) was all zero
            or not finite; all False for attacks without gradients, and at epsilon 0.
        gradients: image-gradients that this epsilon costs on its own.
        forwards: image-evaluations that this epsilon costs on its own, those of the gradients and the judge included.
        adversarial: [k, C, H, W], the first k images of the call after the attack, on the CPU.
    """

    epsilon: float
    predictions: np.ndarray
    correct: np.ndarray
    linf: np.ndarray
    l2: np.ndarray
    bad_gradient: np.ndarray
    gradients: int
    forwards: int
    adversarial: Tensor


@dataclass(frozen=True)
class Result:
    """What an attack achieved on N images.

    Attributes:
        clean_predictions: [N] int64, -1 where the logits are not a number.
        clean_correct: [N] bool; the images that were attacked.
        bad_gradient: [N] bool, see `EpsilonResult`; True where it is at any epsilon.
        gradients: image-gradients computed for all epsilons together.
        forwards: image-evaluations for all epsilons together, those of the gradients and the judge included.
        outputs_normalised: the clean outputs of the judge look like probabilities, not logits.
        per_epsilon: in the order asked for.
    """

    clean_predictions: np.ndarray
    clean_correct: np.ndarray
    bad_gradient: np.ndarray
    gradients: int
    forwards: int
    outputs_normalised: bool
    per_epsilon: list[EpsilonResult]


def joined(parts: list[Result]) -> Result:
    """The results of consecutive batches as one."""
    return Result(
        clean_predictions=np.concatenate([p.clean_predictions for p in parts]),
        clean_correct=np.concatenate([p.clean_correct for p in parts]),
        bad_gradient=np.concatenate([p.bad_gradient for p in parts]),
        gradients=sum(p.gradients for p in parts),
        forwards=sum(p.forwards for p in parts),
        outputs_normalised=all(p.outputs_normalised for p in parts),
        per_epsilon=[_joined_epsilon(list(same)) for same in zip(*(p.per_epsilon for p in parts), strict=True)],
    )


def _joined_epsilon(parts: list[EpsilonResult]) -> EpsilonResult:
    return EpsilonResult(
        epsilon=parts[0].epsilon,
        predictions=np.concatenate([p.predictions for p in parts]),
        correct=np.concatenate([p.correct for p in parts]),
        linf=np.concatenate([p.linf for p in parts]),
        l2=np.concatenate([p.l2 for p in parts]),
        bad_gradient=np.concatenate([p.bad_gradient for p in parts]),
        gradients=sum(p.gradients for p in parts),
        forwards=sum(p.forwards for p in parts),
        adversarial=torch.cat([p.adversarial for p in parts]),
    )
