"""What the first judge of a result says, as these tests ask for it."""

from __future__ import annotations

import numpy as np
import torch

from hqc_ray.attacks import Result


def right(result: Result, labels: torch.Tensor) -> np.ndarray:
    """[E, N] bool: right before and after, at each epsilon."""
    return np.stack(result.verdicts[0].correct(labels.numpy()))


def clean(result: Result, labels: torch.Tensor) -> np.ndarray:
    """[N] bool: right before."""
    return result.verdicts[0].clean_correct(labels.numpy())


def after(result: Result) -> np.ndarray:
    """[E, N] int64: predicted classes at each epsilon."""
    return np.stack([one.own[0] for one in result.verdicts[0].attacked])
