"""The three levels at which a classifier can be cut in two: images, standardised features, angles."""

from __future__ import annotations

from typing import get_args

from hqc_ray.spec import Level

LEVELS: tuple[Level, ...] = get_args(Level)
END_TO_END: tuple[Level, ...] = ("pixels",)  # of a network that is trained as one
DIRECT: tuple[Level, ...] = ("pixels", "features")  # of a frozen backbone with a head that has no bottleneck
BOTTLENECK: tuple[Level, ...] = LEVELS
