from __future__ import annotations

import numpy as np
import pytest
import torch

from hqc_ray.models import backbones


@pytest.fixture(autouse=True)
def _one_thread():
    """Equal bits are promised on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def squeezenet():
    """The cheapest backbone, at a size that images are resized to."""
    return backbones.get("squeezenet1_0", "random", image_size=48)


@pytest.fixture
def images():
    """Five images that are not square, in [0, 1]: [5, 3, 40, 56]."""
    return torch.rand(5, 3, 40, 56, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def task():
    """Features [120, 10] of which two tell the class, and labels."""
    rng = np.random.default_rng(3)
    labels = np.tile(np.array([0, 1], dtype=np.uint8), 60)
    features = rng.normal(size=(120, 10)).astype(np.float32)
    features[:, :2] += 3.0 * labels[:, None]
    return features, labels
