"""Certificates: how far the input of a head must move before its decision changes, bounded on every side."""

from hqc_ray.spec import Level

NORMS: dict[Level, str] = {"angles": "linf", "features": "l2"}  # of the perturbations that are certified at a level
