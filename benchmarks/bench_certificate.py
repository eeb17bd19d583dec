"""What a certificate of an image costs, and what it is worth beside global bounds and beside an attack, on real patches.

Wants PCam's files (or some in their layout) at $HQC_DATA and ResNet18's weights, as `sweeps/table2_resnet18.yaml` does; without
them nothing is measured. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import common
import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray import attacks, data, devices
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.certify.bounds import berberich, lipschitz
from hqc_ray.certify.certificate import NORMS, certify
from hqc_ray.data.splits import subset
from hqc_ray.errors import ModelError
from hqc_ray.models import backbones, classifier, features, training
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import Level, ModelSpec, TrainSpec

TABLE = Path(__file__).parent / "certificates.md"
IMAGES, ATTACKED = 1000, 100
LIMIT = 50  # ms an image, median, at angles of 4 qubits
NOISY = "fake_manila"
MODELS = [("vqc1", 4, NOISY), ("vqc6", 4, NOISY), ("fourier", 4, ""), ("tanh", 4, ""), ("vqc3", 5, NOISY), ("vqc5", 7, "")]
COLUMNS = (
    "head", "Q", "device", "level", "right", "certified radius", "one box", "Lipschitz", "Berberich", "counterexample",
    "DeepFool (smallest)", "ms, median (max)", "open",
)  # fmt: skip
HEAD = f"""# Certificates, measured

Written by `benchmarks/bench_certificate.py`: real patches ({IMAGES:,} images, ResNet18 with ImageNet's weights, heads trained for
30 epochs, seed 0), those of the first {ATTACKED} of the test part that are right. The certified radius is a median, of angles in
linf (radians), of features in l2. The columns behind it are medians of ratios to it: of what one box certifies without a search,
of the radius from a Lipschitz constant, of Berberich's bound (of circuits only), of the counterexample's distance, and of that of
DeepFool's finds; of DeepFool the smallest ratio too: below 1 it would contradict the certificate. Times are of one image.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}"""


@dataclass
class Patches:
    """Images' features [N, F] and labels, split."""

    features: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def patches() -> Patches:
    """The features of a sweep's subset."""
    source = data.get("pcam", path=os.environ["HQC_DATA"])
    found = subset(source, IMAGES, 0)
    extracted = features.extract(backbones.get("resnet18", "imagenet", image_size=96), source.read(found.indices))
    return Patches(extracted, found.labels, found.train, found.validation, found.test)


def trained(name: str, n_qubits: int, seen: Patches) -> Classifier:
    """A head behind ResNet18."""
    spec = ModelSpec(backbone="resnet18", weights="imagenet", image_size=96, head=name, n_qubits=n_qubits)
    made = training.train(spec, TrainSpec(), seen.features, seen.labels, seen.train, seen.validation, 0, n_classes=2)
    return classifier.assemble(spec, 2, made.state)


def share(radii: np.ndarray, certified: np.ndarray) -> str:
    """The median of the ratio."""
    return f"{np.median(radii / certified):.2f}"


def deepfool(rest: nn.Module, level: Level, values: Tensor, labels: Tensor, certified: np.ndarray) -> str:
    """How far DeepFool's finds are, over the certified radius: median and smallest."""
    attack = attacks.get("deepfool", norm=NORMS[level])
    result = attacks.run(attack, rest, values, labels, [4.0], 0, space=SPACES[level])
    found, kept = result.per_epsilon[0], result.verdicts[0].correct(labels.numpy())[0]
    ratios = ((found.linf if level == "angles" else found.l2) / certified)[~kept]
    return f"{np.median(ratios):.3f} ({ratios.min():.3f})"


def line(model: Classifier, level: Level, told: list[str], seen: Patches) -> tuple[str, float]:
    """A row of the table, and the median of the milliseconds."""
    part = model.at(level)
    chosen = seen.test[:ATTACKED]
    with torch.no_grad():
        values, labels = part.from_features(torch.from_numpy(seen.features[chosen])), torch.from_numpy(seen.labels[chosen]).long()
        right = part.rest(values).argmax(1) == labels
    values, labels = values[right], labels[right]
    one_by_one, milliseconds = [], []
    for i in range(len(values)):
        began = time.process_time()
        one_by_one.append(certify(model.head, level, values[i : i + 1], labels[i : i + 1]))
        milliseconds.append(1000 * (time.process_time() - began))
    lower, upper = (np.concatenate([getattr(one, end) for one in one_by_one]) for end in ("lower", "upper"))
    known = lower > 0
    certified = np.where(known, lower, np.nan)[known]
    box = certify(model.head, level, values, labels, boxes=1).lower[known]
    try:
        generators = share(berberich(model.head, level, values, labels)[known], certified)
    except ModelError:
        generators = "none"
    found = deepfool(part.rest, level, values[torch.from_numpy(known)], labels[torch.from_numpy(known)], certified)
    median = float(np.median(milliseconds))
    columns = [
        *told, level, str(len(values)), f"{np.median(certified):.3f}", share(box, certified),
        share(lipschitz(model.head, level, values, labels)[known], certified), generators,
        f"{np.median(upper[known] / certified):.4f}", found, f"{median:.0f} ({max(milliseconds):.0f})",
        str(sum(int(one.open[0]) for one in one_by_one)),
    ]  # fmt: skip
    return f"| {' | '.join(columns)} |", median


def main() -> None:
    """Measure, and write the table."""
    torch.set_num_threads(1)
    if not os.environ.get("HQC_DATA"):
        print("certificates: not measured without HQC_DATA")
        return
    seen, lines, slowest = patches(), [HEAD], 0.0
    for name, n_qubits, machine in MODELS:
        model = trained(name, n_qubits, seen)
        for device in ["default.qubit", *([machine] if machine else [])] if model.head.ideal else ["classical"]:
            on = model
            if device != "classical":
                on = model.on(devices.get("qiskit.aer", noise=device) if device == machine else devices.get(device))
            for level in NORMS:
                row, median = line(on, level, [name, str(n_qubits), device], seen)
                print(row, flush=True)
                lines.append(row)
                slowest = max(slowest, median) if level == "angles" and n_qubits == 4 else slowest
    TABLE.write_text("\n".join([*lines, ""]))
    common.record("certificate of an image at angles, 4 qubits, median", f"{slowest:.0f} ms (the slowest head)", f"{LIMIT} ms")


if __name__ == "__main__":
    main()
