"""The three levels at which a classifier can be cut in two: images, standardised features, angles."""

from __future__ import annotations

from hqc_ray.spec import LEVELS, Level

NARROW = 12  # hidden units at most, as many as the widest circuit has angles, of an MLP that counts as a bottleneck
END_TO_END: tuple[Level, ...] = ("pixels",)  # of a network that is trained as one
DIRECT: tuple[Level, ...] = ("pixels", "features")  # of a frozen backbone with a head that has no bottleneck
BOTTLENECK: tuple[Level, ...] = LEVELS
