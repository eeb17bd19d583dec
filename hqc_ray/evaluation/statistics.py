"""Intervals, paired tests and packed outcomes: what one bit per image says about a robust accuracy; what searches cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

if TYPE_CHECKING:
    import pandas as pd  # a worker packs outcomes, and needs no tables

Outcomes = NDArray[np.bool_]
NORMAL = 1.959964  # half width of a 95 % interval, in standard errors


class Interval(NamedTuple):
    """A confidence interval of a fraction."""

    low: float
    high: float


def wilson(correct: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of the fraction `correct / n`; without any image it is all of [0, 1].

    Unlike the normal interval it keeps its coverage near 0 and 1, where robust accuracies often are.

    Raises:
        ValueError: `correct` is not in [0, n], or `level` is not in (0, 1).

    Source: E. B. Wilson, JASA 22, 209 (1927).
    """
    if not 0 <= correct <= n or not 0 < level < 1:
        raise ValueError(f"no interval for {correct} of {n} at level {level}")
    if n == 0:
        return Interval(0.0, 1.0)
    z = float(special.ndtri(0.5 + level / 2))
    p, shrink = correct / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    return Interval(0.0 if correct == 0 else centre - half, 1.0 if correct == n else centre + half)


def difference(first: int, second: int, n_first: int, n_second: int, level: float = 0.95) -> Interval:
    """Interval of the fraction `first / n_first` minus the fraction `second / n_second`, of independent samples.

    Raises:
        ValueError: a sample without images, or counts outside their sample.

    Source: R. G. Newcombe, Statistics in Medicine 17, 873 (1998), method 10.
    """
    if n_first < 1 or n_second < 1:
        raise ValueError("a difference needs images on both sides")
    p, q = first / n_first, second / n_second
    a, b = wilson(first, n_first, level), wilson(second, n_second, level)
    return Interval(p - q - math.hypot(p - a.low, b.high - q), p - q + math.hypot(a.high - p, q - b.low))


def pack(bits: ArrayLike) -> str:
    """Outcomes [n] as hexadecimal text, the first image in the highest bit of the first byte; unused bits are 0."""
    return np.packbits(np.asarray(bits, dtype=bool)).tobytes().hex()


def unpack(text: str, n: int) -> Outcomes:
    """The outcomes [n] that `pack` wrote.

    Raises:
        ValueError: not hexadecimal, or not the text of `n` outcomes.
    """
    packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    if len(packed) != -(-n // 8):
        raise ValueError(f"{len(packed)} bytes do not hold the outcomes of {n} images")
    if n % 8 and packed[-1] & (0xFF >> n % 8):
        raise ValueError(f"outcomes beyond image {n} are set")
    return np.unpackbits(packed, count=n).astype(bool)


def discordant(first: ArrayLike, second: ArrayLike) -> tuple[int, int]:
    """How many images only the first got right, and how many only the second; both [n], of the same images.

    Raises:
        ValueError: the two are not of the same number of images.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"outcomes of different images: {a.shape} and {b.shape}")
    return int(np.count_nonzero(a & ~b)), int(np.count_nonzero(b & ~a))


def sign_test(first: ArrayLike, second: ArrayLike) -> float:
    """p-value of the one-sided paired test that the first is right more often than the second, on the same images [n].

    Under the null hypothesis an image on which the two differ is equally likely to go either way. This is what
    `scipy.stats.binomtest(..., alternative="greater")` gives, without its cost: an audit makes several tests per row.
    """
    return one_sided(*discordant(first, second))


def one_sided(wins: int, losses: int) -> float:
    """p-value of the one-sided binomial test that of two equally likely outcomes the first came more often than it should."""
    return float(special.bdtrc(wins - 1, wins + losses, 0.5)) if wins else 1.0


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """p-value of the exact two-sided McNemar test that the two are right equally often, on the same images [n]."""
    wins, losses = discordant(first, second)
    return float(min(1.0, 2 * special.bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


def worst_case(outcomes: Iterable[tuple[float, ArrayLike]], epsilon: float) -> Outcomes:
    """Which images [n] no attack fooled at this epsilon or a smaller one.

    Args:
        outcomes: pairs of an epsilon and the outcomes [n] of one attack at it; one norm, one model, the same images.
        epsilon: the largest perturbation allowed; what was found at a larger one does not count.

    Raises:
        ValueError: nothing was tried within `epsilon`, or outcomes of different images.
    """
    within = [np.asarray(bits, dtype=bool) for e, bits in outcomes if e <= epsilon]
    if not within:
        raise ValueError(f"no attack was tried within epsilon {epsilon}")
    return np.logical_and.reduce(np.stack(within), axis=0)


def total_gradients(rows: pd.DataFrame) -> int:
    """How many input gradients of single images all searches took, each search counted once, however many judges it had.

    Args:
        rows: one row per cell. Where one search serves all epsilons (`one_search`), a row has the work that its epsilon takes on
            its own, and the largest includes the others; elsewhere each epsilon is a search of its own. A search that others
            began with counts once, whether it has rows or not.
    """
    took: dict[tuple[str, bool], dict[float, int]] = {}
    told = rows[["search_key", "one_search", "epsilon", "gradients"]].dropna(subset=["gradients"])
    for key, shared, epsilon, gradients in told.itertuples(index=False, name=None):
        mine = took.setdefault((key, bool(shared)), {})
        mine[epsilon] = max(mine.get(epsilon, 0), int(gradients))
    if "start_gradients" in rows:
        told = rows[["start_key", "epsilon", "start_gradients"]].dropna(subset=["start_gradients"])
        for key, epsilon, gradients in told.itertuples(index=False, name=None):
            took.setdefault((key, False), {})[epsilon] = int(gradients)
    return sum(max(mine.values()) if shared else sum(mine.values()) for (_, shared), mine in took.items())
