"""Robust accuracy of one model under one attack: the columns that a row gets from the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from hqc_ray.attacks import contract
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.result import EpsilonResult, Result
from hqc_ray.evaluation.sampled import Judge
from hqc_ray.evaluation.statistics import pack, wilson
from hqc_ray.models.features import pixels

NORMAL = 1.959964  # half width of a 95 % interval, in standard errors


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
    judge: nn.Module | None = None,
    samples: Judge | None = None,
    keep: int = 0,
) -> Evaluation:
    """Attack `model` on images [N, H, W, 3] uint8 with labels [N], at every epsilon (pixel units of [0, 1]).

    Args:
        model: images in [0, 1] to logits; what the attack differentiates.
        judge: what decides before and after the attack, where that is another model.
        samples: a device with shots: it decides by samples, and `judge` (its exact twin) only which images are attacked.
        keep: how many of the first images are returned per epsilon: `clean` and `adversarial` [k, 3, H, W] float16 in
            [0, 1], `labels`, `clean_prediction` and `prediction` [k].

    Raises:
        AttackError: an epsilon or images that no attack takes.
    """
    clean = pixels(images)
    kept = len(images) if samples else keep
    result = contract.run(attack, model, clean, labels, epsilons, seed, batch_size=batch_size, judge=judge, keep=kept)
    columns = _sampled(result, samples, clean, labels) if samples else _exact(result)
    examples = [
        {
            "clean": clean[:keep].numpy().astype(np.float16),
            "adversarial": found.adversarial[:keep].numpy().astype(np.float16),
            "labels": labels[:keep],
            "clean_prediction": result.clean_predictions[:keep],
            "prediction": found.predictions[:keep],
        }
        for found in result.per_epsilon
    ]
    return Evaluation(columns, examples)


def _exact(result: Result) -> list[dict[str, Any]]:
    """The columns of each epsilon, where one evaluation of an image decides."""
    clean = result.clean_correct[None]
    return [{**_accuracies(clean, found.correct[None]), **_search(result, found)} for found in result.per_epsilon]


def _sampled(result: Result, samples: Judge, images: Tensor, labels: np.ndarray) -> list[dict[str, Any]]:
    """The same, where fresh samples decide; an image that the attack left as it is is not sampled a second time."""
    before, repeats = samples.predictions(images, "clean"), samples.repeats
    shared = {"repeats": repeats, "shot_flip_share": float((before[0][:repeats] != result.clean_predictions).mean())}
    columns = []
    for found in result.per_epsilon:
        after = samples.predictions(found.adversarial, repr(found.epsilon))
        clean = [one == labels for one in before]
        robust = [was & (np.where(found.linf == 0, b, a) == labels) for was, b, a in zip(clean, before, after, strict=True)]
        scatter = {**_scatter("clean", *clean), **_scatter("robust", *robust)}
        columns.append({**_accuracies(clean[0][:repeats], robust[0][:repeats]), **scatter, **shared, **_search(result, found)})
    return columns


def _scatter(name: str, correct: np.ndarray, replicates: np.ndarray) -> dict[str, Any]:
    """Columns of outcomes [evaluations, N]: where 95 % of evaluations of the same images fall, by other shots.

    Shots flip more of the correct images than of the wrong ones, so that the accuracy of a measured surrogate is biased; by how
    much, the replicates tell, which are biased once more. The interval is wider by that (a parametric bootstrap: Efron and
    Tibshirani, An Introduction to the Bootstrap, chapters 6 and 10).
    """
    middle, again = float(correct.mean()), replicates.mean(1)
    half = NORMAL * float(again.std(ddof=1)) + abs(float(again.mean()) - middle)
    return {f"{name}_shot_low": max(middle - half, 0.0), f"{name}_shot_high": min(middle + half, 1.0)}


def _accuracies(clean: np.ndarray, robust: np.ndarray) -> dict[str, Any]:
    """Columns of outcomes [repeats, N]: means over all, intervals over images, and the first repeat's bits."""
    columns: dict[str, Any] = {"n_evaluated": clean.shape[1]}
    for name, correct in (("clean", clean), ("robust", robust)):
        mean = float(correct.mean())
        low, high = wilson(round(mean * correct.shape[1]), correct.shape[1])
        columns |= {f"{name}_accuracy": mean, f"{name}_low": low, f"{name}_high": high, f"{name}_correct": pack(correct[0])}
    return columns


def _search(result: Result, found: EpsilonResult) -> dict[str, Any]:
    """What the search at one epsilon did; means and shares are over the images that were attacked."""
    attacked = result.clean_correct
    some = bool(attacked.any())
    return {
        "mean_linf": float(found.linf[attacked].mean()) if some else None,
        "mean_l2": float(found.l2[attacked].mean()) if some else None,
        "bad_gradient_share": float(found.bad_gradient[attacked].mean()) if some else None,
        "gradients": int(found.gradients),
        "forwards": int(found.forwards),
        "outputs_normalised": bool(result.outputs_normalised),
    }
