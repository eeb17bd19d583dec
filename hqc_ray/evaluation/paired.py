"""Two models on the same images, over several seeds: difference, interval, tests, and a correction for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hqc_ray.evaluation.statistics import Interval, Outcomes, discordant, mcnemar

RESAMPLES = 10_000
LEVEL = 0.05  # of a verdict, after Holm's correction


@dataclass(frozen=True)
class Paired:
    """The first model's accuracy minus the second's.

    Attributes:
        difference: mean over seeds, a fraction.
        interval: 95 %, over seeds and images; over images alone where there is one seed.
        per_seed: p-values of the exact McNemar test of each seed, in order.
        p: of the null hypothesis that there is no difference, by whichever is larger: the bootstrap's, whose units are seeds and
            their images, or McNemar's over the images of all seeds. The first knows that models of one seed stand or fall
            together, the second is exact where few images differ; a difference must pass both.
    """

    difference: float
    interval: Interval
    per_seed: tuple[float, ...]
    p: float


def paired(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> Paired:
    """Compare two models.

    Args:
        first: outcomes [n] of each of S seeds.
        second: those of the other model, of the same images, seed by seed.

    Raises:
        ValueError: no seed, or outcomes of different images.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} seeds cannot be paired")
    counts = np.array([(*discordant(a, b), len(a)) for a, b in zip(first, second, strict=True)])  # only first, only second, all
    means = _resampled(counts)
    low, high = np.quantile(means, [0.025, 0.975])
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    bootstrap = min(1.0, 2 * (beyond + 1) / (len(means) + 1))
    whole = mcnemar(np.concatenate(list(first)), np.concatenate(list(second)))
    return Paired(
        difference=float(((counts[:, 0] - counts[:, 1]) / counts[:, 2]).mean()),
        interval=Interval(float(low), float(high)),
        per_seed=tuple(mcnemar(a, b) for a, b in zip(first, second, strict=True)),
        p=max(bootstrap, whole) if len(first) > 1 else whole,
    )


def _resampled(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean differences [RESAMPLES] of a hierarchical bootstrap: of seeds, and of the images of each drawn seed.

    Images count by how they came out alone, so that a sample of them is a draw of three numbers. The same counts [S, 3] give the
    same draws.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, section 3.8.
    """
    rng = np.random.default_rng(0)
    drawn = counts[rng.integers(len(counts), size=(RESAMPLES, len(counts)))]  # [RESAMPLES, S, 3]
    wins, losses, n = np.moveaxis(drawn, -1, 0)
    shares = np.stack([wins / n, losses / n, (n - wins - losses) / n], -1)
    resampled = rng.multinomial(n, shares)
    return ((resampled[..., 0] - resampled[..., 1]) / n).mean(1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, so that with probability 95 % none below 0.05 is false; in the order given.

    Source: S. Holm, Scandinavian Journal of Statistics 6, 65 (1979).
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()
