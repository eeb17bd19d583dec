"""The measured columns of each cell of a search, from the verdicts of its judges."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqc_ray.attacks.balls import LEVELS, Norm, in_grey_levels
from hqc_ray.attacks.result import Found, Predictions, Result, Verdict
from hqc_ray.evaluation.certified import Certified
from hqc_ray.evaluation.statistics import NORMAL, pack, wilson
from hqc_ray.results.row import Decided, Deployed, Measured, Searched


@dataclass(frozen=True)
class Seen:
    """What is known about a judge of a search, besides its verdict.

    Args:
        deployed: what is known about the model on its device.
        repeats: evaluations that count, if the judge samples; None: it is exact.
        fresh: [N] bool, the images that this judge's model was not trained on; None: all of them.
        certified: the images' certificates; None: not asked for, or the judge's head has none.
    """

    deployed: Deployed
    repeats: int | None = None
    fresh: np.ndarray | None = None
    certified: Certified | None = None


def measure(
    result: Result, labels: np.ndarray, epsilon: float, judge: int, seen: Seen, start_gradients: int | None = None
) -> Measured:
    """The columns of the cell at one epsilon of one judge.

    Args:
        result: of the search.
        labels: [N], the true classes.
        epsilon: one of the searched ones.
        judge: its position among the judges.
        seen: what else is known about it.
        start_gradients: what the search that this one began with took at this epsilon; None: it began with none.
    """
    at = next(i for i, found in enumerate(result.per_epsilon) if found.epsilon == epsilon)
    found, verdict = result.per_epsilon[at], result.verdicts[judge]
    kept = np.ones(len(labels), dtype=bool) if seen.fresh is None else seen.fresh
    decided = _decided(result, verdict, at, labels, kept, seen.repeats)
    if seen.certified is not None:
        decided = decided.model_copy(update=seen.certified.columns(epsilon, kept))
    searched = _searched(result, found, verdict.clean_correct(labels) & kept & result.attacked)
    return Measured.of(seen.deployed, searched.model_copy(update={"start_gradients": start_gradients}), decided)


def _searched(result: Result, found: Found, right: np.ndarray) -> Searched:
    """What the search did; means and shares are over the images [N] that were attacked and that this judge got right before."""
    some = bool(right.any())
    return Searched(
        mean_linf=float(found.linf[right].mean()) if some else None,
        mean_l2=float(found.l2[right].mean()) if some else None,
        bad_gradient_share=float(found.bad_gradient[right].mean()) if some else None,
        not_finite_share=float(found.not_finite[right].mean()) if some else None,
        gradients=int(found.gradients),
        forwards=int(found.forwards) + 2 * len(right),
        outputs_normalised=bool(result.outputs_normalised),
        members=json.dumps(result.members) if result.members else None,
    )


def _decided(result: Result, verdict: Verdict, at: int, labels: np.ndarray, kept: np.ndarray, repeats: int | None) -> Decided:
    """Accuracies over the images `kept` [N]: exact, or means over repeats with the scatter of shots."""
    before, after, labels = _of(verdict.clean, kept), _of(verdict.attacked[at], kept), labels[kept]
    clean, robust = before.own == labels, (before.own == labels) & (after.own == labels)
    in_8_bits = None
    if verdict.rounded and len(labels):
        in_8_bits = float((clean & (_of(verdict.rounded[at], kept).own == labels))[:repeats].mean())
    if repeats is None or not len(labels):  # exact, or nobody to ask
        return Decided(**_accuracies(clean, robust), robust_accuracy_8bit=in_8_bits)
    again = (before.replicates == labels, (before.replicates == labels) & (after.replicates == labels))
    scatter = {**_scatter("clean", clean, again[0]), **_scatter("robust", robust, again[1])}
    flips = float((before.own[:repeats] != result.clean_predictions[kept]).mean())
    accuracies = {**_accuracies(clean[:repeats], robust[:repeats]), "robust_accuracy_8bit": in_8_bits}
    return Decided(**accuracies, **scatter, repeats=repeats, shot_flip_share=flips)


def _of(predictions: Predictions, kept: np.ndarray) -> Predictions:
    return Predictions(predictions.own[:, kept], predictions.replicates[:, kept])


def _scatter(name: str, correct: np.ndarray, replicates: np.ndarray) -> dict[str, Any]:
    """Columns of outcomes [evaluations, N]: where 95 % of evaluations of the same images fall, by other shots.

    Shots flip more correct images than wrong ones, which biases the accuracy of a measured surrogate. Its replicates carry that
    bias twice and so tell its size, by which the interval is widened (a parametric bootstrap: Efron and Tibshirani, An
    Introduction to the Bootstrap, chapters 6 and 10).
    """
    middle, again = float(correct.mean()), replicates.mean(1)
    half = NORMAL * float(again.std(ddof=1)) + abs(float(again.mean()) - middle)
    return {f"{name}_shot_low": max(middle - half, 0.0), f"{name}_shot_high": min(middle + half, 1.0)}


def _accuracies(clean: np.ndarray, robust: np.ndarray) -> dict[str, Any]:
    """Columns of outcomes [repeats, N]: means over all, intervals over images, and the first repeat's bits."""
    n = clean.shape[1]
    columns: dict[str, Any] = {"n_evaluated": n}
    for name, correct in (("clean", clean), ("robust", robust)):
        mean = float(correct.mean()) if n else 0.0
        low, high = wilson(round(mean * n), n)
        columns |= {f"{name}_accuracy": mean, f"{name}_low": low, f"{name}_high": high, f"{name}_correct": pack(correct[0])}
    return columns


def example(result: Result, values: np.ndarray, labels: np.ndarray, epsilon: float, judge: int, n: int) -> dict[str, np.ndarray]:
    """The first `n` images at one epsilon: `clean` and `adversarial` [n, 3, H, W] float16, `labels`, both predictions [n]."""
    at = next(i for i, found in enumerate(result.per_epsilon) if found.epsilon == epsilon)
    verdict = result.verdicts[judge]
    return {
        "clean": values[:n].astype(np.float16),
        "adversarial": result.per_epsilon[at].adversarial[:n].numpy().astype(np.float16),
        "labels": labels[:n],
        "clean_prediction": verdict.clean.own[0, :n],
        "prediction": verdict.attacked[at].own[0, :n],
    }


def attacked_images(result: Result, values: Tensor, labels: np.ndarray, epsilon: float, norm: Norm) -> dict[str, np.ndarray]:
    """All images at one epsilon, as they are kept.

    Args:
        result: of a search at pixels that kept all of its N images.
        values: [N, 3, H, W] in [0, 1], before the attack, of which each is a grey level.
        labels: [N], the true classes.
        epsilon: one of the searched ones.
        norm: of the attack.

    Returns:
        `clean` and `adversarial_8bit` [N, H, W, 3] uint8, as `robust_accuracy_8bit` judges them, inside the ball;
        `adversarial` [N, 3, H, W] float16, up to 2.4e-4 outside it; `labels` [N].
    """
    found = next(found for found in result.per_epsilon if found.epsilon == epsilon).adversarial
    clean = values.cpu()
    return {
        "clean": _uint8(clean),
        "adversarial_8bit": _uint8(in_grey_levels(found, clean, epsilon, norm)),
        "adversarial": found.half().numpy(),
        "labels": labels,
    }


def _uint8(pixels: Tensor) -> np.ndarray:
    """[N, 3, H, W] of grey levels in [0, 1] -> [N, H, W, 3] uint8."""
    return (pixels * LEVELS).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
