"""Robust accuracy of one model under one attack: the columns that a row gets from the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.attacks import contract
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.result import EpsilonResult
from hqc_ray.evaluation.statistics import pack, wilson
from hqc_ray.models.features import pixels


@dataclass(frozen=True)
class Evaluation:
    """What one attack found, a member per epsilon: the columns of the row, and the first images before and after."""

    columns: list[dict[str, Any]]
    examples: list[dict[str, np.ndarray]]


def evaluate(
    model: nn.Module,
    attack: Attack,
    images: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    seed: int,
    batch_size: int = 50,
    judge: Callable[[Tensor], Tensor] | None = None,
    judge_generator: torch.Generator | None = None,
    keep: int = 0,
) -> Evaluation:
    """Attack `model` on images [N, H, W, 3] uint8 with labels [N], at every epsilon (pixel units of [0, 1]).

    Args:
        model: images in [0, 1] to logits; what the attack sees.
        judge: what decides before and after the attack, where that is not the model (a device with shot noise), drawing
            from `judge_generator`.
        keep: how many of the first images are returned, clean and adversarial, per epsilon.

    Raises:
        AttackError: an epsilon or images that no attack takes.
    """
    result = contract.run(
        attack, model, pixels(images), labels, epsilons, seed,
        batch_size=batch_size, judge=judge, judge_generator=judge_generator, keep=keep,
    )  # fmt: skip
    clean = result.clean_correct
    shared = {"n_evaluated": len(clean), **_accuracy("clean", clean), "outputs_normalised": bool(result.outputs_normalised)}
    columns = [{**shared, **_columns(found, clean)} for found in result.per_epsilon]
    examples = [
        {
            "clean": images[:keep].transpose(0, 3, 1, 2),
            "adversarial": found.adversarial.numpy().astype(np.float32),
            "labels": labels[:keep],
            "clean_prediction": result.clean_predictions[:keep],
            "prediction": found.predictions[:keep],
        }
        for found in result.per_epsilon
    ]
    return Evaluation(columns, examples)


def _columns(found: EpsilonResult, clean: np.ndarray) -> dict[str, Any]:
    """What is of one epsilon; means and shares are over the images that were attacked."""
    attacked = clean.any()
    return {
        **_accuracy("robust", found.correct),
        "mean_linf": float(found.linf[clean].mean()) if attacked else None,
        "mean_l2": float(found.l2[clean].mean()) if attacked else None,
        "bad_gradient_share": float(found.bad_gradient[clean].mean()) if attacked else None,
        "gradients": int(found.gradients),
        "forwards": int(found.forwards),
    }


def _accuracy(name: str, correct: np.ndarray) -> dict[str, Any]:
    low, high = wilson(int(correct.sum()), len(correct))
    return {
        f"{name}_accuracy": float(correct.mean()),
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_correct": pack(correct),
    }
