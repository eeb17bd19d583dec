"""Rows as the audit reads them: 60 images, of which the first 50 are right before any attack."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hqc_ray.evaluation import audit
from hqc_ray.evaluation.statistics import pack, wilson

N = 60
CLEAN = np.arange(N) < 50  # the first 50 of 60 images are right before any attack


def survivors(start, stop):
    """Outcomes [N]: right where start <= image < stop."""
    return (np.arange(N) >= start) & (np.arange(N) < stop)


KINDS = {"clean": "none", "noise": "none", "fgsm": "budget", "pgd": "budget", "deepfool": "minimal"}


STEPS = {"fgsm": 1, "pgd": 20}


def of_attack(name, **more):
    """The columns of an attack's identity, and its gradient steps."""
    search = {"search_model_key": "m", "search_device": "default.qubit", "access": "exact", "audience": "itself"}
    return (
        {
            "attack": name,
            "attack_title": name.upper(),
            "attack_kind": KINDS[name],
            "gradient_steps": STEPS.get(name),
            "level": "pixels",
        }
        | search
        | more
    )


def row(attack, epsilon, robust, *, clean=CLEAN, **more):
    """One row as the ledger holds it."""
    low, high = wilson(int(clean.sum()), len(clean))
    robust_low, robust_high = wilson(int(robust.sum()), len(robust))
    return (
        {
            "key": f"{attack}-{epsilon}-{sorted(more.items())}",
            "status": "ok",
            "model_key": "m",
            "device": "default.qubit",
            "data_source": "pcam",
            "data_digest": "d",
            "weights": "imagenet",
            "mode": "surrogate",
            "search_seed": 0,
            "n_classes": 2,
            "n_qubits": 4,
            "attack_options": "{}",
            "norm": "linf",
            "epsilon": epsilon,
            "n_evaluated": len(clean),
            "clean_low": low,
            "clean_high": high,
            "clean_correct": pack(clean),
            "robust_low": robust_low,
            "robust_high": robust_high,
            "robust_correct": pack(robust),
            "bad_gradient_share": 0.0,
            "outputs_normalised": False,
            "surrogate_error": 1e-15,
        }
        | of_attack(attack, search_model_key=more.get("model_key", "m"))
        | more
    )


def flags_of(*rows):
    frame = pd.DataFrame(rows)
    found = audit.flags(frame)
    assert list(found) == [r["key"] for r in rows]
    return list(found.values())
