"""Adversarial robustness of hybrid quantum-classical image classifiers, swept over a Ray cluster.

    results          results("results/x"): a finished sweep. Its rows as a frame, the images and labels of a row, its model
    load_classifier  a trained model of a sweep, as a torch module
    circuits         circuits.get("vqc1"): circuits as gates; the table of them
    devices          devices.get("qiskit.aer", noise="fake_manila"): what evaluates circuits
    surrogate        surrogate.fit(circuit, weights, device): a circuit on a device, as an exact torch function
    attacks          attacks.get("pgd"), attacks.run: attacks, and the base class of your own
    data             data.get("pcam", path="..."): labelled images, and the base class of your own source

The command line is `hqc`; docs/extend.md says how a sweep takes your own circuit, device, backbone, attack or data.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "attacks", "circuits", "data", "devices", "load_classifier", "results", "surrogate"]

_LAZY = {
    "circuits": "hqc_ray.quantum.circuits",
    "devices": "hqc_ray.quantum.devices",
    "surrogate": "hqc_ray.quantum.cores.surrogate",
    "attacks": "hqc_ray.attacks",
    "data": "hqc_ray.data",
    "results": "hqc_ray.results",
    "load_classifier": "hqc_ray.models.classifier:load_classifier",
}


def __getattr__(name: str) -> Any:
    """Import the public rooms on first use, so that `hqc --help` and `hqc plan` start fast."""
    if name not in _LAZY:
        raise AttributeError(f"module 'hqc_ray' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = importlib.import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__() -> list[str]:
    """The public names, for completion; the rest is of the rooms (docs/design.md)."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
