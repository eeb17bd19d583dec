"""Rows as a sweep leaves them: two sizes of head, noisy device, three seeds, four attacks, a failed cell, examples."""

from __future__ import annotations

import hashlib

import numpy as np

from hqc_ray.evaluation.statistics import pack, wilson
from hqc_ray.results.ledger import frame
from hqc_ray.results.row import Planned, Row

N = 200
EPSILONS = (0.05, 0.15, 0.25)
KINDS = {"clean": ("Clean", "none"), "noise": ("Noise", "none"), "fgsm": ("FGSM", "budget"), "pgd": ("PGD", "budget"),
         "deepfool": ("DeepFool", "minimal")}  # fmt: skip
IDEAL = ("default.qubit", "lightning.qubit", "qiskit.aer")
SLOPES = {"fgsm": 4.0, "deepfool": 12.0, "pgd": 12.0, "noise": 0.3}  # how fast each attack takes images away


def make_row(attack="fgsm", epsilon=0.05, *, clean=176, robust=None, n=N, seed=0, head="vqc1", device="default.qubit", **more):
    """One row; image i falls before image j if its margin is smaller, so that attacks nest like real ones."""
    model = "-".join(str(more.get(k, d)) for k, d in [("backbone", "resnet18"), ("data_size", 1000), ("weights", "imagenet")])
    model_key = hashlib.sha256(f"{model}-{head}-{seed}".encode()).hexdigest()[:16]
    order = np.random.default_rng([seed, len(head)]).permutation(n)
    robust = clean if robust is None else robust
    clean_bits, robust_bits = order < clean, order < robust
    title, kind = KINDS.get(attack, (attack, "budget"))
    circuit = head not in ("linear", "mlp", "tanh", "fourier")
    device = device if circuit else "classical"
    told = (more.get(k) for k in ("attack_options", "access", "level"))
    search = "-".join(map(str, (more.get("search_model_key", model_key), attack, *told)))
    values = {
        "key": hashlib.sha256(f"{model_key}-{device}-{search}-{epsilon}".encode()).hexdigest()[:16],
        "status": "ok", "sweep": "example", "data_source": "pcam", "data_size": 1000, "data_digest": f"d{seed}", "seed": seed,
        "backbone": "resnet18", "weights": "imagenet", "weights_origin": "compressed ImageNet", "image_size": 96, "head": head,
        "n_qubits": {"linear": None, "mlp": None, "vqc2": 5, "vqc5": 7}.get(head, 4), "embedding": "rx" if circuit else None,
        "layers": 1 if circuit else None, "reuploads": 1 if circuit else None, "readout": "z" if circuit else None,
        "head_kind": "circuit" if circuit else "classical", "model_options": "{}", "train_device": "",
        "n_classes": 2, "class_names": '["normal", "tumour"]', "mode": "surrogate",
        "model_key": model_key, "device": device,
        "device_kind": "ideal" if device in IDEAL else "noisy" if circuit else "classical",
        "search_key": search, "search_model_key": more.get("model_key", model_key), "search_head": head, "search_seed": seed,
        "search_device": device, "foreign_device": False,
        "data_test_fraction": None, "data_validation_fraction": None, "data_options": '{"path": "${HQC_DATA}"}',
        "train_epochs": 30, "train_batch_size": 32, "train_learning_rate": 1e-3, "device_options": "{}", "backbone_title": "",
        "head_title": "", "evaluate_images": 200, "evaluate_batch_size": 50, "evaluate_repeats": 1,
        "access": "exact", "audience": "itself", "level": "pixels", "epsilon_unit": "pixel",
        "attack": attack, "attack_title": title, "attack_kind": kind, "one_search": attack in ("fgsm", "deepfool"),
        "attack_options": "{}", "attack_label": attack, "norm": "linf",
        "epsilon": epsilon, "n_train": 800, "n_test": n, "test_accuracy": clean / n, "n_evaluated": n,
        "clean_accuracy": clean / n, "clean_low": wilson(clean, n).low, "clean_high": wilson(clean, n).high,
        "robust_accuracy": robust / n, "robust_low": wilson(robust, n).low, "robust_high": wilson(robust, n).high,
        "clean_correct": pack(clean_bits), "robust_correct": pack(robust_bits), "mean_linf": epsilon, "mean_l2": epsilon * 100,
        "bad_gradient_share": 0.0, "gradients": n, "forwards": 2 * n, "surrogate_error": 3e-16 if circuit else None,
        "circuits": 81 if circuit else None, "shots": None, "outputs_normalised": False, "example": "", "error": "",
        "seconds": 1.5, "host": "node-1", "finished_at": "2024-05-01T12:00:00Z",
    }  # fmt: skip
    return values | more


def failed_row(**more):
    """A cell that raised: it has its place in the grid and nothing measured."""
    kept = {k: v for k, v in make_row(**more).items() if k in Planned.model_fields}
    error = "Traceback (most recent call last):\n  ...\nMemoryError: no room for | 2**30 amplitudes"
    return kept | {"status": "failed", "error": error}


def as_frame(rows):
    """Through the ledger's own model, so that the columns and their missing values are those of real results."""
    return frame(Row(**row) for row in rows)


def sweep_rows(heads=("linear", "tanh", "vqc1", "vqc6"), devices=("default.qubit",), seeds=(0, 1, 2), epsilons=EPSILONS, **more):
    """A sweep's grid with believable numbers."""
    rows = []
    for h, head in enumerate(heads):
        for device in devices if head.startswith(("vqc", "sim")) else ("classical",):
            for seed in seeds:
                clean = 172 + 3 * (h % 7) - seed - (6 if "fake" in device else 0)
                same = {"head": head, "device": device, "seed": seed, "clean": clean} | more
                rows.append(make_row("clean", 0.0, **same))
                for attack, slope in SLOPES.items():
                    fall = slope * (0.75 + 0.1 * (h % 7)) * (0.8 if "fake" in device else 1)
                    rows += [make_row(attack, e, robust=int(clean * np.exp(-fall * e)), **same) for e in epsilons]
    return rows


def transferred(judge, found_on, robust, attack="pgd", epsilon=0.05, **more):
    """A row of `judge`, a row of its own, that says how it stands what was found on the model of another row."""
    searched = {"search_model_key": found_on["model_key"], "search_head": found_on["head"], "search_seed": found_on["seed"],
                "search_device": found_on["device"], "audience": "others"}  # fmt: skip
    same = {k: judge[k] for k in ("head", "seed", "device", "model_key", "n_qubits")}
    return make_row(attack, epsilon, robust=robust, **same | searched | more)


def suspect_rows():
    """As the paper's hybrid ResNet18 of 10,000 images: FGSM rises from 50.9 % to 77.8 % with epsilon."""
    robust = {"fgsm": (102, 139, 155), "pgd": (105, 100, 100), "deepfool": (92, 90, 88), "noise": (160, 150, 141)}
    cells = [(a, e, r) for a, rs in robust.items() for e, r in zip(EPSILONS, rs, strict=True)]
    return [make_row(a, e, robust=r, clean=165, data_size=10000) for a, e, r in cells]


def write_examples(folder, rows, size=(20, 24), k=5, classes=2):
    """An npz beside every row but the clean ones, of patches that are not square; the rows with their column `example`."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    generator = np.random.default_rng(0)
    waves = [[np.sin(generator.uniform(3, 20) * x + generator.uniform(3, 20) * y) for _ in range(3)] for _ in range(k)]
    clean = np.clip(np.array([0.78, 0.5, 0.7])[:, None, None] + 0.16 * np.array(waves), 0, 1).astype(np.float16)
    labels = np.arange(k) % classes
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    out = []
    for row in rows:
        if row["attack"] == "clean" or row["status"] != "ok":
            out.append(row)
            continue
        step = row["epsilon"] * np.sign(generator.normal(size=clean.shape))
        fooled = generator.random(k) > row["robust_accuracy"]
        adversarial = np.clip(clean.astype(np.float32) + step, 0, 1).astype(np.float16)
        arrays = {"clean": clean, "adversarial": adversarial, "labels": labels, "clean_prediction": labels}
        np.savez(folder / "examples" / f"{row['key']}.npz", **arrays, prediction=np.where(fooled, (labels + 1) % classes, labels))
        out.append(row | {"example": f"examples/{row['key']}.npz"})
    return out
