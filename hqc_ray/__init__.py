"""Adversarial robustness of hybrid quantum-classical image classifiers, swept over a Ray cluster."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "circuits": "hqc_ray.quantum.circuits",
    "devices": "hqc_ray.quantum.devices",
    "surrogate": "hqc_ray.quantum.cores.surrogate",
    "attacks": "hqc_ray.attacks",
    "data": "hqc_ray.data",
    "load_classifier": "hqc_ray.models.classifier:load_classifier",
}


def __getattr__(name: str) -> Any:
    """Import the public rooms on first use, so that `hqc --help` and `hqc plan` start fast."""
    if name not in _LAZY:
        raise AttributeError(f"module 'hqc_ray' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = importlib.import_module(module)
    return getattr(value, attribute) if attribute else value
