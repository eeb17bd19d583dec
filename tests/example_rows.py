"""Rows as a sweep would write them, for tests that need some."""

from __future__ import annotations

from hqc_ray.results.row import Measured, Planned, Row

PLANNED = {
    "key": "a", "sweep": "s", "data_source": "synthetic", "data_size": 40, "data_digest": "d", "n_classes": 2,
    "class_names": '["normal", "tumour"]', "n_train": 32, "n_test": 8, "seed": 0, "backbone": "resnet18", "weights": "random",
    "weights_origin": "random", "image_size": 96, "head": "tanh", "head_kind": "classical", "n_qubits": 4, "embedding": None,
    "layers": None, "reuploads": None, "readout": None, "model_options": "{}", "train_device": "", "model_key": "m",
    "search_key": "s1", "search_model_key": "m", "search_head": "tanh", "search_seed": 0, "search_device": "classical",
    "access": "exact", "audience": "itself", "level": "pixels", "attack": "fgsm", "attack_title": "FGSM", "attack_kind": "budget",
    "attack_options": "{}", "attack_label": "fgsm", "one_search": True, "norm": "linf", "epsilon": 0.05,
    "epsilon_unit": "of [0, 1]", "device": "classical", "device_kind": "classical", "shots": None, "mode": "surrogate",
}  # fmt: skip
MEASURED = {
    "n_evaluated": 8, "clean_accuracy": 0.5, "clean_low": 0.2, "clean_high": 0.8, "robust_accuracy": 0.25, "robust_low": 0.1,
    "robust_high": 0.6, "clean_correct": "f0", "robust_correct": "c0", "test_accuracy": 0.5, "mean_linf": 0.05, "mean_l2": 1.5,
    "bad_gradient_share": 0.0, "gradients": 4, "forwards": 20, "outputs_normalised": False,
}  # fmt: skip


def planned(key: str = "a", **changes: object) -> Planned:
    return Planned(**{**PLANNED, "key": key, **changes})  # type: ignore[arg-type]


def measured(**changes: object) -> Measured:
    return Measured(**{**MEASURED, **changes})  # type: ignore[arg-type]


def row(key: str = "a", **changes: object) -> Row:
    """A row with a result; with status="failed" one without."""
    of_plan = {name: value for name, value in changes.items() if name in Planned.model_fields}
    of_result = {name: value for name, value in changes.items() if name in Measured.model_fields}
    stamp = {name: value for name, value in changes.items() if name not in (of_plan | of_result) and name != "status"}
    if changes.get("status") == "failed":
        return Row.failed(planned(key, **of_plan), **{"error": "", **stamp})
    return Row.ok(planned(key, **of_plan), measured(**of_result), **stamp)
