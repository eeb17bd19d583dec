"""Named, independent random streams: the same seed and names give the same numbers on every machine and worker."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` under `seed`; different names give independent streams."""
    text = "/".join([str(int(seed)), *(f"{type(n).__name__}:{n}" for n in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """NumPy's generator of the stream `names` under `seed`."""
    return np.random.default_rng(stream(seed, *names))
