"""Global bounds: below every certificate, and what their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from certify_cases import angles, features, head, labelled, waves

from hqc_ray import devices
from hqc_ray.certify.bounds import berberich, lipschitz
from hqc_ray.certify.certificate import certify
from hqc_ray.errors import ModelError

CIRCUITS = {
    "vqc1": lambda: head("vqc1", 3, seed=1), "reuploads": lambda: head("sim14", 2, seed=1, reuploads=2),
    "noisy": lambda: head("vqc1", 3, seed=1).on(devices.get("qiskit.aer", depolarizing_2q=0.05)),
}  # fmt: skip


@pytest.mark.parametrize("level", ["angles", "features"])
@pytest.mark.parametrize("make", CIRCUITS.values(), ids=CIRCUITS.keys())
def test_no_global_bound_exceeds_the_certificate(make, level):
    made = make()
    values = angles(5, made.reduce.out_features) if level == "angles" else features(5)
    labels = labelled(made, level, values)
    exact = certify(made, level, values, labels)
    for bound in (lipschitz, berberich):
        found = bound(made, level, values, labels)
        assert (found > 0).any()
        assert (found <= exact.upper).all()


def test_one_qubit_by_hand():
    """z = cos x, logits (0, 2 z): the margin's slope is 2, and 2 |M| |H| = 2 * 2 * 1/2."""
    made = waves([[0.0], [1.0], [0.0]], [[0.0], [2.0]], [0.0, 0.0])
    values = torch.tensor([[0.3], [-1.0]])
    by_hand = 2 * np.cos(values[:, 0].double().numpy()) / 2
    for bound in (lipschitz, berberich):
        assert bound(made, "angles", values, [1, 1]) == pytest.approx(by_hand, rel=1e-3)
        assert bound(made, "angles", values, [0, 0]) == pytest.approx([0, 0])  # wrong before
    norm, x = made.reduce.weight.double().norm().item(), features(3, 3)
    seen = 2 * np.cos(made.squeezed(x)[:, 0].double().numpy())
    assert lipschitz(made, "features", x, [1, 1, 1]) == pytest.approx(seen / (np.pi * norm), rel=1e-3)


def test_generators_are_those_of_a_circuit():
    for made in (head("fourier"), head("tanh")):
        with pytest.raises(ModelError, match="generators"):
            berberich(made, "angles", angles(1, 2), [0])
    with pytest.raises(ModelError, match="known of this head"):
        lipschitz(head("mlp"), "features", features(1), [0])
