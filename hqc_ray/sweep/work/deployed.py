"""Models on their devices: as a surrogate, natively, or by shots; as what is attacked, and as judges."""

from __future__ import annotations

import json
from typing import Any

import torch

from hqc_ray.attacks.judges import Exact, Judge
from hqc_ray.errors import ModelError
from hqc_ray.evaluation.sampled import Samples
from hqc_ray.models.classifier import Classifier
from hqc_ray.plan import Search
from hqc_ray.quantum.cores import surrogate
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.quantum.cores.surrogate import Surrogate, check_angles
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.results.row import Deployed
from hqc_ray.seeds import stream
from hqc_ray.spec import DeviceSpec, Level
from hqc_ray.sweep.graph import resolve
from hqc_ray.sweep.graph.jobs import JudgeTask


def fitted(model: Classifier, device: Device) -> tuple[Classifier, Deployed]:
    """A trained model with the surrogate of its circuit on `device`, and the facts of the fit; its accuracy is not known yet."""
    on = model.on(device)
    core = _surrogate(on)
    error = float(core.standard_error(check_angles(core.n_qubits, True)).max()) if core.measured else None
    facts: dict[str, Any] = {"surrogate_error": core.max_error, "surrogate_standard_error": error, "circuits": core.evaluations}
    if core.quasi and not device.estimates:
        with torch.no_grad():
            facts["lowest_probability"] = float(core.probabilities(check_angles(core.n_qubits, False)).min())
    return on, Deployed(test_accuracy=None, **facts, **_compiled(device, _ideal(model)))


def native(model: Classifier, device: Device) -> tuple[Classifier, Deployed]:
    """The model with its circuit on the device itself; accuracy on all of the test part would take too long this way."""
    ideal = _ideal(model)
    on = model.with_core(Native(ideal.circuit, ideal.weights, device))
    return on, Deployed(test_accuracy=None, **_compiled(device, ideal))


def dumps(model: Classifier, known: Deployed) -> bytes:
    """The content of a file with a model's surrogate on its device and what is known about it."""
    return surrogate.dumps(_surrogate(model), known.model_dump())


def loads(model: Classifier, content: bytes) -> tuple[Classifier, Deployed]:
    """A trained model with the surrogate that `dumps` wrote."""
    core, facts = surrogate.loads(content)
    return model.with_core(core.to(model.device)), Deployed(**facts)


def differentiated(model: Classifier, search: Search) -> Classifier:
    """What the attacker differentiates: the model where it runs, or estimates from its shots."""
    if search.access != "shots" or search.device is None:
        return model
    circuit, shots = resolve.circuit(search.training.model), search.device.options["shots"]
    return model.with_core(ShotEstimate(_surrogate(model), circuit, shots, _shots_seed(search.training.seed, search.device)))


def judge(model: Classifier, task: JudgeTask, level: Level) -> Judge:
    """The judge: the model as it runs, or samples of it."""
    device = task.deployed.device
    if device is None or not device.options.get("shots"):
        return Exact(model.at(level).rest)
    return Samples(model, device.options["shots"], task.repeats, _shots_seed(task.deployed.training.seed, device), level)


def _shots_seed(seed: int, device: DeviceSpec) -> int:
    """The seed of a model's shots on a device: a stream of the model's seed and the device's."""
    return stream(seed, "device", int(device.options.get("seed") or 0))


def _ideal(model: Classifier) -> CircuitLayer:
    if model.head.ideal is None:
        raise ModelError("there is no ideal circuit in this head")
    return model.head.ideal


def _surrogate(model: Classifier) -> Surrogate:
    if model.head.surrogate is None:
        raise ModelError("there is no surrogate in this head")
    return model.head.surrogate


def _compiled(device: Device, ideal: CircuitLayer) -> dict[str, Any]:
    """The columns of the compiled circuit."""
    facts = device.executed(ideal.circuit, ideal.weights)
    layout = None if facts.layout is None else json.dumps(facts.layout)
    timing = {"duration_us": facts.duration, "idle_us": facts.idle}
    compiled = {"depth": facts.depth, "two_qubit_gates": facts.two_qubit_gates, "layout": layout}
    return {**compiled, "expected_error": facts.expected_error, **timing}
