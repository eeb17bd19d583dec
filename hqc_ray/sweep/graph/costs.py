"""Rough seconds on one core, for the order of jobs and for estimates; the estimate is corrected by what jobs really take."""

from __future__ import annotations

from dataclasses import dataclass

from hqc_ray.evaluation.sampled import SPREAD
from hqc_ray.models import backbones, heads
from hqc_ray.plan import Group, ModelJob, Plan
from hqc_ray.quantum.cores import surrogate
from hqc_ray.spec import AttackSpec, DeviceSpec, ModelSpec
from hqc_ray.sweep.graph import resolve

GMACS_PER_SECOND = 50.0  # of float32 convolutions on one core of a current server
BACKWARD = 1.4  # an input gradient on top of its forward pass
UNKNOWN_GMACS = 4.0
MINIMAL_STEPS = 8  # DeepFool's usual number
START_SECONDS = 12.0  # starting Ray and importing the libraries


def forward(model: ModelSpec) -> float:
    """Seconds to extract the features of one image."""
    size = model.image_size or 224
    gmacs = backbones.entry(model).gmacs(size)
    return (UNKNOWN_GMACS * (size / 224) ** 2 if gmacs is None else gmacs) / GMACS_PER_SECOND


def train(job: ModelJob) -> float:
    """Seconds to train a head on cached features, or a CNN on images."""
    size, epochs = 0.7 * job.data.size, job.train.epochs
    if backbones.entry(job.model).trainable:
        return size * epochs * (1 + BACKWARD) * forward(job.model)
    qubits, steps = heads.get(job.model).width or 1, size * epochs / job.train.batch_size
    noisy = steps * (5e-3 + 4e-6 * 4**qubits) if job.train.device else 0.0
    return noisy + steps * 32 * (2e-4 + 3e-5 * 2 ** max(qubits - 3, 0))


def circuits(model: ModelSpec, device: DeviceSpec) -> int:
    """Circuit executions that measure the surrogate of a model on a device, its check included."""
    return surrogate.n_circuits(resolve.circuit(model), resolve.device(device).exactness == "measured")


@dataclass(frozen=True)
class Measured:
    """What a machine that only counts shots is asked for: circuits, shots of all of them, jobs, and for how many surrogates."""

    circuits: int = 0
    shots: int = 0
    jobs: int = 0
    surrogates: int = 0


def measured(plan: Plan) -> dict[str, Measured]:
    """By its label, what each measured device of a plan is asked for in all, nothing of it done yet; connects to nothing."""
    found: dict[str, Measured] = {}
    for job, spec in plan.fits:
        device = resolve.device(spec)
        if device.exactness == "measured":
            n, so_far = circuits(job.model, spec), found.get(device.label, Measured())
            found[device.label] = Measured(
                so_far.circuits + n, so_far.shots + n * (device.shots or 0), so_far.jobs + device.n_jobs(n), so_far.surrogates + 1
            )
    return found


def fit(model: ModelSpec, device: DeviceSpec) -> float:
    """Seconds to measure the surrogate of a circuit on a device."""
    qubits = resolve.circuit(model).n_qubits
    checks = 0.02 * surrogate.n_checks(qubits, False) * 2 ** max(qubits - 4, 0) / 4  # by the device itself
    return checks + circuits(model, device) * (1e-3 if device.options.get("noise") else 5e-4)


def attack(model: ModelSpec, attack: AttackSpec, epsilons: int, images: int) -> float:
    """Seconds of one attack on one model at all its epsilons."""
    gradients = {"clean": 0, "noise": 0, "deepfool": MINIMAL_STEPS}.get(attack.name)
    if gradients is None:
        gradients = int(attack.options.get("steps", 1)) * (epsilons if "steps" in attack.options else 1)
    return images * forward(model) * (gradients * (1 + BACKWARD) + 1 + epsilons)


def total(plan: Plan) -> float:
    """Seconds of all work of a plan on one core, nothing of it done yet."""
    seconds = sum(train(m) for m in plan.models) + sum(fit(m.model, d) for m, d in plan.fits)
    distinct = {(m.model.backbone, m.model.image_size, m.model.weights, m.data.source, m.seed): m for m in
                sorted(plan.models, key=lambda m: m.data.size) if not backbones.entry(m.model).trainable}  # fmt: skip
    seconds += sum(m.data.size * forward(m.model) for m in distinct.values())
    for group in plan.groups:
        first = group.cells[0]
        n = min(first.evaluate.images or first.data.size, first.data.size // 5)
        seconds += attack(first.model, first.attack, len(group.cells), n)
    return seconds


def sampled_shots(group: Group) -> int:
    """Shots that judge a group's cells on a sampled device: clean and attacked, each image at each epsilon, again and again."""
    shots = group.device.options.get("shots") if group.device else None
    first = group.cells[0]
    measured = group.device is not None and resolve.device(group.device).exactness == "measured"
    evaluations = max(first.evaluate.repeats, SPREAD) * (1 + len(group.cells)) * (2 if measured else 1)  # and its replicates
    return int(shots or 0) * evaluations * min(first.evaluate.images or first.data.size, first.data.size // 5)
