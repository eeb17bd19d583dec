"""Heads with known functions of the angles, and images of them."""

from __future__ import annotations

import numpy as np
import torch

from hqc_ray.models import heads
from hqc_ray.models.head import Bottleneck
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.spec import ModelSpec


def head(name="fourier", n_qubits=2, n_classes=2, seed=0, n_features=12, **options):
    """A head with random weights, and biases by which every class wins somewhere."""
    spec = ModelSpec(backbone="resnet18", weights="random", head=name, image_size=32, n_qubits=n_qubits, **options)
    made = heads.build(spec, n_features, n_classes, torch.Generator().manual_seed(seed)).eval().requires_grad_(False)
    if isinstance(made, Bottleneck):
        made.readout.bias -= made.decided(angles(200, n_qubits)).mean(0)
    return made


def waves(readout, weight, bias, n_features=3, degree=1):
    """A head whose core has the coefficients `readout` [(2 degree + 1)^Q, Q], and whose logits are weight [K, Q] z + bias [K]."""
    readout, weight = torch.as_tensor(readout, dtype=torch.float64), torch.as_tensor(weight, dtype=torch.float32)
    core = Surrogate(readout.shape[1], degree)
    core.readout.copy_(readout)
    core.error.fill_(0.0)
    made = Bottleneck(n_features, len(weight), core, readout.shape[1], torch.Generator().manual_seed(0))
    made.readout.weight.data.copy_(weight)
    made.readout.bias.data.copy_(torch.as_tensor(bias))
    return made.eval().requires_grad_(False)


def random_waves(n_qubits, degree=1, n_classes=2, seed=0):
    """Random coefficients of every frequency."""
    rng = np.random.default_rng(seed)
    terms = (2 * degree + 1) ** n_qubits
    readout = rng.normal(size=(terms, n_qubits)) / np.sqrt(terms)
    return waves(readout, rng.normal(size=(n_classes, n_qubits)), 0.1 * rng.normal(size=n_classes), degree=degree)


def angles(n, n_qubits, seed=1, width=1.2):
    """[n, Q] float32."""
    return (2 * torch.rand(n, n_qubits, generator=torch.Generator().manual_seed(seed)) - 1) * width


def features(n, n_features=12, seed=1):
    """[n, F] float32."""
    return torch.randn(n, n_features, generator=torch.Generator().manual_seed(seed)) * 2


def labelled(head, level, values):
    """What the head says of values, so that every image is right."""
    return (head.decided(values) if level == "angles" else head.logits(values)).argmax(1)


def wrong(head, level, points, labels):
    return labelled(head, level, torch.as_tensor(points, dtype=torch.float32)) != labels
