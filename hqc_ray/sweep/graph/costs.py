"""Rough seconds on one core, for the order of jobs and for estimates; a running sweep corrects them by its finished jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from hqc_ray import attacks
from hqc_ray.evaluation.sampled import SPREAD
from hqc_ray.models import backbones, heads
from hqc_ray.plan import Group, Plan, Search, Training
from hqc_ray.quantum.cores import sizes
from hqc_ray.spec import DataSpec, DeviceSpec, ModelSpec, sides
from hqc_ray.sweep.graph import resolve, sources

GMACS_PER_SECOND = 50.0  # of float32 convolutions on one core of a current server
BACKWARD = 1.4  # an input gradient on top of its forward pass
BEHIND = 2e-5  # seconds of a head, per image
CERTIFICATE = 0.05  # seconds, per image
KEPT_BYTES = 4  # of a pixel's colour: clean and attacked in 8 bits, attacked in 16
STARTED = 0.2  # of a search's gradients, where it begins with what the ideal twin's search found
UNKNOWN_GMACS = 4.0  # of a network that nobody has counted, at 224 pixels
PUBLISHED_SIZE = 224


@cache
def n_classes(data: DataSpec) -> int:
    """How many classes the data of a plan has."""
    return len(sources.source(data).classes)


@cache
def image_size(data: DataSpec) -> tuple[int, int]:
    """(height, width) of the images of a plan's data, as its source has them."""
    return sources.source(data).image_size


def forward(model: ModelSpec) -> float:
    """Seconds to extract the features of one image."""
    size = round(math.prod(sides(model.image_size or PUBLISHED_SIZE)) ** 0.5)  # the side of a square of as many pixels
    gmacs = backbones.entry(model).gmacs(size)
    return (UNKNOWN_GMACS * (size / PUBLISHED_SIZE) ** 2 if gmacs is None else gmacs) / GMACS_PER_SECOND


def train(job: Training) -> float:
    """Seconds to train a head on cached features, or a CNN on images."""
    size, epochs = 0.7 * job.data.size, job.train.epochs
    if backbones.entry(job.model).trainable:
        return size * epochs * (1 + BACKWARD) * forward(job.model)
    qubits, steps = heads.get(job.model).width or 1, size * epochs / job.train.batch_size
    noisy = steps * (5e-3 + 4e-6 * 4**qubits) if job.train.device else 0.0
    return noisy + steps * 32 * (2e-4 + 3e-5 * 2 ** max(qubits - 3, 0))


def circuits(model: ModelSpec, device: DeviceSpec) -> int:
    """Circuit executions that measure the surrogate of a model on a device, its check included, and a machine's calibration."""
    found = resolve.device_of(device)
    measured = found.exactness == "measured"
    return found.runs * sizes.n_circuits(resolve.circuit(model), measured) + (found.calibrations if measured else 0)


@dataclass(frozen=True)
class Measured:
    """What a plan asks of a machine that counts shots: circuits, their shots in total, jobs, surrogates; and `Device.caveat`."""

    circuits: int = 0
    shots: int = 0
    jobs: int = 0
    surrogates: int = 0
    caveat: str = ""


def measured(plan: Plan) -> dict[str, Measured]:
    """What a plan asks of each measured device in total, by its label, as if nothing were done yet; connects to nothing."""
    found: dict[str, Measured] = {}
    for job, spec in plan.deployments:
        device = resolve.device_of(spec)
        if device.exactness == "measured":
            n, so_far = circuits(job.model, spec), found.get(device.label, Measured())
            shots, jobs = so_far.shots + n * (device.shots or 0), so_far.jobs + device.n_jobs(n)
            found[device.label] = Measured(so_far.circuits + n, shots, jobs, so_far.surrogates + 1, device.caveat)
    return found


def fit(model: ModelSpec, device: DeviceSpec) -> float:
    """Seconds to measure the surrogate of a circuit on a device."""
    qubits = resolve.circuit(model).n_qubits
    checks = 0.02 * sizes.n_checks(qubits, False) * 2 ** max(qubits - 4, 0) / 4  # by the device itself
    checks *= resolve.device_of(device).runs
    return checks + circuits(model, device) * (1e-3 if device.options.get("noise") else 5e-4)


def search(search: Search, epsilons: int, judges: int, images: int, certificates: int = 0) -> float:
    """Seconds of one search at all its epsilons, of its judges, and of those that certify; without backbone next to nothing."""
    attack = search.attack
    gradients = attacks.get(attack.name, **attack.options).cost(epsilons, n_classes(search.training.data))
    gradients *= STARTED if search.start else 1
    passes = gradients * (1 + BACKWARD) + (1 + epsilons) * judges
    one = passes * (forward(search.training.model) if attack.level == "pixels" else BEHIND)
    return images * (one + CERTIFICATE * certificates)


def total(plan: Plan) -> float:
    """Seconds of all work of a plan on one core, as if nothing were done yet."""
    seconds = sum(train(m) for m in plan.trainings) + sum(fit(m.model, d) for m, d in plan.deployments)
    distinct = {(m.model.backbone, m.model.image_size, m.model.weights, m.data.source, m.seed): m for m in
                sorted(plan.trainings, key=lambda m: m.data.size) if not backbones.entry(m.model).trainable}  # fmt: skip
    seconds += sum(m.data.size * forward(m.model) for m in distinct.values())
    seconds += sum(search(start, len(start.epsilons), 1, _images(start)) for start in plan.starts)
    return seconds + sum(
        search(g.search, len(g.epsilons), len(g.judges), _images(g.search), sum(j.certificate for j in g.judges))
        for g in plan.groups
    )


def _images(search: Search) -> int:
    """About how many images are attacked."""
    size = search.training.data.size
    return min(search.images or size, size // 5)


def kept(plan: Plan) -> tuple[int, int]:
    """How many files of attacked images a plan keeps, and about how many bytes they take."""
    files, size = 0, 0
    for group in plan.groups:
        epsilons = {cell.epsilon for cell in group.cells if cell.keep}
        if epsilons:
            pixels = 3 * math.prod(image_size(group.search.training.data))
            files += len(epsilons)
            size += len(epsilons) * _images(group.search) * pixels * KEPT_BYTES
    return files, size


def sampled_shots(group: Group) -> int:
    """Shots that judge a group's cells on sampled devices: each image clean and at each epsilon, in every repeat.

    Of a device that mitigates, at each scale of its noise, and the calibration circuits of each repeat.
    """
    total = 0
    for judge in group.judges:
        if judge.device and (shots := judge.device.options.get("shots")):
            device = resolve.device_of(judge.device)
            again = 2 if device.exactness == "measured" else 1  # and its replicates
            evaluations = max(judge.repeats, SPREAD) * (1 + len(group.epsilons)) * again
            total += int(shots) * evaluations * (device.runs * _images(group.search) + device.calibrations)
    return total
