"""The planned part of each row: every column that is known before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hqc_ray import attacks
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.models import backbones, heads
from hqc_ray.plan import Group, Judge, Plan, Search, Training, attack_label, content_key
from hqc_ray.redaction import without_homes
from hqc_ray.results.folder import EXAMPLES
from hqc_ray.results.row import Planned
from hqc_ray.spec import DeviceSpec, ModelSpec, sides
from hqc_ray.sweep.graph import resolve
from hqc_ray.sweep.graph.lookup import Lookup, trainable

MAX_EXAMPLES = 240  # cells that keep images for the figure, half a megabyte each


class Cells:
    """Plans rows, and remembers how many of them keep images.

    Args:
        plan: of the sweep.
        lookup: subsets, weights and keys.
    """

    def __init__(self, plan: Plan, lookup: Lookup) -> None:
        self.plan, self.lookup = plan, lookup
        attacked = (group.search.attack for group in plan.groups)
        self.kinds = list({content_key(attack.name, attack.options): attack for attack in attacked}.values())
        self.first_seed = plan.groups[0].search.training.seed
        self.examples = 0

    def of(self, group: Group) -> list[tuple[Planned, Judge]]:
        """The rows of a search's cells, each with its judge, in the order of the file."""
        searched = self._search(group.search)
        judged = {judge.id: self._judge(judge) for judge in group.judges}
        strengths, pictured = group.epsilons, self._pictured(group.search)
        rows = []
        for cell in group.cells:
            training, judge = cell.search.training, cell.judge
            key = content_key(searched["search_key"], judge.id, self.lookup.model_key(judge.training), cell.epsilon)
            extreme = cell.epsilon in (min(strengths), max(strengths)) and training is judge.training
            keep = pictured and extreme and self.examples < MAX_EXAMPLES
            self.examples += keep
            example = f"{EXAMPLES}/{key}.npz" if keep else ""
            foreign = training is judge.training and group.search.access != "ideal" and group.search.twin is not judge.twin
            columns = {**searched, **judged[judge.id], "mode": judge.mode, "foreign_device": foreign}
            rows.append((Planned(**columns, key=key, sweep=self.plan.name, epsilon=cell.epsilon, example=example), judge))
        return rows

    def _pictured(self, search: Search) -> bool:
        entry = attacks.get(search.attack.name, **search.attack.options)
        images = search.attack.level == "pixels" and entry.perturbs
        return images and search.training.seed == self.first_seed

    def _search(self, search: Search) -> dict[str, Any]:
        """The columns of what is searched."""
        attack, model_key = search.attack, self.lookup.model_key(search.training)
        entry = attacks.get(attack.name, **attack.options)
        return {
            "search_key": content_key(search.id, model_key), "search_model_key": model_key,
            "search_head": search.training.model.head, "search_seed": search.training.seed,
            "start_key": content_key(search.start.id, model_key) if search.start else "",
            "search_device": _through(search), "access": search.access, "audience": search.audience, "level": attack.level,
            "attack": attack.name, "attack_title": entry.title, "attack_kind": entry.kind, "norm": entry.norm,
            "attack_options": json.dumps(dict(sorted(attack.options.items()))), "attack_label": attack_label(attack, self.kinds),
            "gradient_steps": entry.gradient_steps, "aims": entry.aims, "black_box": entry.black_box, "one_search": entry.shared,
            "epsilon_unit": SPACES[attack.level].unit,
            "evaluate_images": search.images, "evaluate_batch_size": search.batch_size,
        }  # fmt: skip

    def _judge(self, judge: Judge) -> dict[str, Any]:
        """The columns of who decides."""
        training, device = judge.training, judge.device
        data, found, weights = training.data, self.lookup.subset(training), self.lookup.weights(training.model)
        trained_on = training.train.device
        return {
            "data_source": data.source, "data_size": data.size, "data_digest": found.digest,
            "n_classes": len(found.classes), "class_names": json.dumps(found.classes),
            "n_train": len(found.train), "n_test": len(found.test), "seed": training.seed,
            "weights": _weights_label(training.model), "weights_origin": weights.origin, **_of_model(training),
            "data_test_fraction": data.test_fraction, "data_validation_fraction": data.validation_fraction,
            "data_options": _as_json(data.options), "train_epochs": training.train.epochs,
            "train_batch_size": training.train.batch_size, "train_learning_rate": training.train.learning_rate,
            "train_device": resolve.device_of(trained_on).label if trained_on else "",
            "model_key": self.lookup.model_key(training),
            "device": _device_label(judge), "device_kind": resolve.device_of(device).kind if device else "classical",
            "shots": device.options.get("shots") if device else None,
            "device_options": _as_json(device.options if device else {}), "evaluate_repeats": judge.repeats,
            "evaluate_certificate": judge.certificate, **_of_mitigation(device),
        }  # fmt: skip


def _of_mitigation(spec: DeviceSpec | None) -> dict[str, Any]:
    """The columns of what a device does about its noise; of most nothing."""
    device = resolve.device_of(spec) if spec else None
    if spec is None or device is None or not device.quasi:
        return {}
    shots = int(device.shots or 0)
    counted = {"image_shots": shots * device.runs, "calibration_shots": shots * device.calibrations} if shots else {}
    return {"mitigation": json.dumps(spec.options["mitigation"], sort_keys=True), **counted}


def _of_model(training: Training) -> dict[str, Any]:
    """The columns of backbone and head; None for what does not apply to the head."""
    model = training.model
    head = heads.get(model)
    circuit, (height, width) = head.circuit(), sides(model.image_size or 0)
    return {
        "backbone": model.backbone, "image_size": height, "image_width": width if width != height else None, "head": model.head,
        "head_kind": head.kind, "n_qubits": head.width,
        "embedding": circuit.embedding if circuit else None, "layers": circuit.layers if circuit else None,
        "reuploads": circuit.reuploads if circuit else None, "readout": circuit.readout if circuit else None,
        "model_options": json.dumps(model.options, sort_keys=True),
        "backbone_title": backbones.entry(model).title, "head_title": head.title,
    }  # fmt: skip


def _as_json(options: dict[str, Any]) -> str:
    """Options as text, as the sweep file has them: a variable stays ${NAME}, and a home folder is `~`."""
    return without_homes(json.dumps(options, sort_keys=True))


def _through(search: Search) -> str:
    """What the attacker differentiates, as a label."""
    if search.device is None:
        return "ideal" if search.access == "ideal" else "classical"
    return resolve.device_of(search.device).label


def _weights_label(model: ModelSpec) -> str:
    """The weights as the sweep file names them; of a path, the file's name only; a user's own code may load any."""
    if trainable(model):
        return "trained"
    return "own" if ":" in model.backbone and model.weights == "random" else Path(model.weights).name


def _device_label(judge: Judge) -> str:
    label = resolve.device_of(judge.device).label if judge.device else "classical"
    return label if judge.mode == "surrogate" else f"{label} ({judge.mode})"
