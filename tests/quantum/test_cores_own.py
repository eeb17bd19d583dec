"""Each core by itself: the streams of sampled ones, the file and the error bars of a surrogate, what a noisy layer reads."""

from __future__ import annotations

import functools
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quantum_cases import inputs
from torch import Tensor

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import ResultsError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores import noisy_layer, sizes
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.quantum.cores.surrogate import Surrogate, grid, trig_features
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.ideal.sampling import sample

ONCE = circuits.get("quantum_cases:mixed", 3)
TWICE = circuits.get("sim14", 2, "ry", reuploads=2)
IDEAL = devices.get("default.qubit")
SHOTS = 400


@functools.cache
def fitted(circuit: Circuit) -> Surrogate:
    return surrogate.fit(circuit, inputs(circuit)[0], IDEAL)


def measured(circuit: Circuit, shots: int = SHOTS, seed: int = 0) -> Surrogate:
    """As a machine that counts shots would give it."""
    made = Surrogate(circuit.n_qubits, circuit.degree)
    exact = fitted(circuit).probabilities(grid(circuit.n_qubits, circuit.degree)).numpy()
    made.set_values(torch.from_numpy(sample(exact, shots, np.random.default_rng(seed))))
    made.shots.fill_(float(shots))
    return made


# native


def gradient(core: Any, angles: Tensor, direction: Tensor) -> Tensor:
    angles = angles.clone().requires_grad_()
    return torch.autograd.grad((core(angles) * direction).sum(), angles)[0]


@pytest.mark.parametrize("circuit", [ONCE, TWICE], ids=repr)
def test_shot_estimates_and_their_gradients_scatter_around_the_exact_ones(circuit: Circuit) -> None:
    exact, (_, angles) = fitted(circuit), inputs(circuit, batch=3, seed=1)
    direction = torch.randn(3, circuit.n_qubits, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    core = ShotEstimate(exact, circuit, SHOTS, seed=2)
    for function in (lambda one: one(angles), lambda one: gradient(one, angles, direction)):
        draws = torch.stack([function(core.drawn(k)).detach() for k in range(150)])
        error = draws.std(0) / math.sqrt(150)
        assert error.max() > 1e-3  # samples they are
        assert ((draws.mean(0) - function(exact).detach()) / error).abs().max() < 4


def test_samples_follow_seed_draw_and_batch() -> None:
    exact, (_, angles) = fitted(ONCE), inputs(ONCE, batch=5)
    core = ShotEstimate(exact, ONCE, SHOTS, seed=2)
    found = core(angles)
    assert torch.equal(found, ShotEstimate(exact, ONCE, SHOTS, seed=2)(angles))
    assert not torch.equal(found, ShotEstimate(exact, ONCE, SHOTS, seed=3)(angles))
    assert not torch.equal(found[:2], core(angles[:2]))  # another batch, other samples
    assert torch.equal(core.drawn(4).drawn(0)(angles), found)
    assert torch.equal((found * SHOTS).round(), (found * SHOTS).round(decimals=6))
    assert core(angles[:0]).shape == (0, 3)


def test_native_runs_the_device_and_gives_no_gradient_to_weights() -> None:
    weights, angles = inputs(ONCE, batch=5)
    core = Native(ONCE, weights.float().requires_grad_(), devices.get("qiskit.aer", noise="fake_manila"))
    assert not list(core.parameters())
    assert core.weights.dtype == torch.float64
    torch.testing.assert_close(core(angles), core.device.expectations(ONCE, weights.float().double(), angles), atol=0, rtol=0)
    theirs = surrogate.fit(ONCE, core.weights, core.device)
    direction = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(gradient(core, angles, direction), gradient(theirs, angles, direction), atol=1e-10, rtol=0)


def test_a_sampled_native_core_draws_by_the_seed_of_its_device() -> None:
    weights, angles = inputs(ONCE, batch=2)
    core = Native(ONCE, weights, devices.get("default.qubit", shots=SHOTS, seed=7))
    assert core.drawn(0) is core
    assert core.drawn(2).device == core.device.drawn(2)
    assert torch.equal(core.drawn(2)(angles), core.device.drawn(2).expectations(ONCE, weights, angles))


# the surrogate


def test_features_of_degree_two_are_in_the_order_of_the_grid() -> None:
    angles = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    a, b = angles[0].tolist()
    slow = [[1, math.cos(x), math.sin(x), math.cos(2 * x), math.sin(2 * x)] for x in (a, b)]
    torch.testing.assert_close(trig_features(angles, 2)[0], torch.tensor(np.kron(*slow)), atol=1e-14, rtol=0)
    assert grid(2, 2)[7].tolist() == pytest.approx([2 * math.pi / 5, 2 * math.pi * 2 / 5])


def test_coefficients_are_the_fourier_coefficients_of_the_device() -> None:
    made = fitted(TWICE)
    torch.testing.assert_close(made.values(), IDEAL.probabilities(TWICE, inputs(TWICE)[0], grid(2, 2)), atol=1e-12, rtol=0)
    fine = 2 * math.pi * np.arange(16) / 16
    points = torch.from_numpy(np.stack(np.meshgrid(fine, fine, indexing="ij"), -1).reshape(-1, 2))
    values = IDEAL.probabilities(TWICE, inputs(TWICE)[0], points)
    norms = trig_features(points, 2).square().mean(0)
    slow = (trig_features(points, 2).T @ values) / len(points) / norms[:, None]
    torch.testing.assert_close(made.coefficients, slow, atol=1e-12, rtol=0)


def test_circuits_of_a_fit_are_its_grid_and_its_check() -> None:
    assert (fitted(ONCE).evaluations, fitted(TWICE).evaluations) == (27 + 16, 25 + 16)
    large = circuits.get("sim1", 8)
    assert (sizes.n_circuits(large, measured=False), sizes.n_circuits(large, measured=True)) == (3**8 + 4, 3**8 + 16)
    assert surrogate.check_angles(8, measured=False).shape == (4, 8)
    assert torch.equal(surrogate.check_angles(3, measured=True), surrogate.check_angles(3, measured=False))
    assert "shots" not in repr(fitted(ONCE))
    assert "degree=2" in repr(measured(TWICE))
    assert f"shots={SHOTS}" in repr(measured(TWICE))


@pytest.mark.parametrize("circuit", [ONCE, TWICE], ids=repr)
def test_the_standard_error_is_what_replicates_scatter_by(circuit: Circuit) -> None:
    made, (_, angles) = measured(circuit), inputs(circuit, batch=7, seed=4)
    generator = torch.Generator().manual_seed(5)
    replicates = [made.replicate(generator) for _ in range(300)]
    assert all(one.measured and int(one.shots) == SHOTS for one in replicates)
    ratio = torch.stack([one(angles) for one in replicates]).std(0) / made.standard_error(angles)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=0.25, rtol=0)
    others = torch.stack([measured(circuit, seed=seed)(angles) for seed in range(1, 101)])  # measured again, in truth
    pulls = (others - fitted(circuit)(angles)) / made.standard_error(angles)
    assert 0.85 < float(pulls.square().mean().sqrt()) < 1.15
    assert made.standard_error(angles).max() < 1.001 / math.sqrt(SHOTS)  # no worse than measuring there
    again = made.replicate(torch.Generator().manual_seed(5))
    assert torch.equal(again.coefficients, replicates[0].coefficients)


def test_an_exact_surrogate_has_no_error_and_no_replicates_and_an_agreeing_count_is_not_certain() -> None:
    exact, angles = fitted(ONCE), inputs(ONCE, batch=2)[1]
    assert torch.equal(exact.standard_error(angles), torch.zeros(2, 3, dtype=torch.float64))
    assert exact.replicate(torch.Generator()) is exact
    sure = Surrogate(2)
    sure.set_values(torch.eye(4, dtype=torch.float64)[:1].expand(9, 4))  # every shot at every point was 00
    sure.shots.fill_(100.0)
    assert (sure.standard_error(grid(2)) > 0.01).all()


def test_samples_of_replicates_scatter_more_than_samples_of_one_surrogate() -> None:
    made, angles = measured(ONCE, shots=100), inputs(ONCE, batch=3)[1]
    one = made.samples(angles, 100, torch.Generator().manual_seed(0), 200)
    many = made.samples(angles, 100, torch.Generator().manual_seed(0), 200, torch.Generator().manual_seed(1))
    assert one.shape == many.shape == (200, 3, 3)
    expected = one.var(0) + made.standard_error(angles).square()
    assert 0.8 < float((many.var(0) / expected).mean()) < 1.2
    assert float((many.var(0) / one.var(0)).mean()) > 1.15


def test_a_measured_surrogate_of_degree_two_survives_its_file() -> None:
    made, angles = measured(TWICE), inputs(TWICE)[1]
    made.error.fill_(0.125)
    copy, facts = surrogate.loads(surrogate.dumps(made, {"layout": [4, 2], "depth": 9, "backend": None}))
    assert facts == {"layout": [4, 2], "depth": 9, "backend": None}
    assert (copy.n_qubits, copy.degree, copy.max_error, copy.measured) == (2, 2, 0.125, True)
    for function in (Surrogate.forward, Surrogate.probabilities, Surrogate.standard_error):
        assert torch.equal(function(copy, angles), function(made, angles))


def saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


class Trap:
    """What a forged file would make a plain unpickler do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


STATE = Surrogate(2).state_dict()
FORGED = {
    "a list": saved([1, 2]),
    "a number": saved(5),
    "of nothing": saved({"n_qubits": 2, "degree": 1, "facts": {}}),
    "of another size": saved({"n_qubits": 3, "degree": 1, "state": STATE, "facts": {}}),
    "without facts": saved({"n_qubits": 2, "degree": 1, "state": STATE}),
    "of a text": saved({"n_qubits": "two", "degree": 1, "state": STATE, "facts": {}}),
    "a trap": saved({"n_qubits": 2, "degree": 1, "state": STATE, "facts": Trap()}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_in_one_line_and_nothing_of_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResultsError, match="not a surrogate of hqc_ray") as caught:
        surrogate.loads(FORGED[name])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_whatever_is_damaged_in_the_pickled_part_is_a_results_error() -> None:
    content = surrogate.dumps(measured(TWICE), {"depth": 9})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        pickled = archive.read(name)
    start, refused = content.index(pickled), 0
    for at in range(len(pickled)):
        damaged = bytearray(content)
        damaged[start + at] ^= 0xFF
        try:
            surrogate.loads(bytes(damaged))
        except ResultsError as problem:
            assert "\n" not in str(problem)  # noqa: PT017 (some bytes are names of no meaning)
            refused += 1
    assert refused > len(pickled) // 2


# the noisy layer


def test_the_observables_are_read_through_each_wires_own_assignment_matrix() -> None:
    """Their mean in a product state, against bits that are flipped one by one."""
    device = Aer(depolarizing_2q=0.01, readout_01=0.1, readout_10=0.3)
    noise = device.noise_model()
    assert noise is not None
    flips = {4: [[0.9, 0.1], [0.3, 0.7]], 1: [[0.8, 0.2], [0.05, 0.95]], 2: None}

    class Read:
        def assignment(self, qubit: int) -> np.ndarray | None:
            return None if flips[qubit] is None else np.array(flips[qubit])

    found = noisy_layer._observables([4, 1, 2], Read())  # type: ignore[arg-type]
    ones = [0.2, 0.5, 0.9]  # the true probability of a 1 on each wire
    vectors = [np.array([1, 0, 0, 1 - 2 * p]) / np.sqrt(2) for p in ones]
    state = np.kron(np.kron(*vectors[:2]), vectors[2])
    expected = []
    for qubit, p in zip((4, 1, 2), ones, strict=True):
        read = np.array([1 - p, p]) @ (np.eye(2) if flips[qubit] is None else np.array(flips[qubit]))
        expected.append(read[0] - read[1])
    np.testing.assert_allclose(found @ state, expected, atol=1e-14)
    np.testing.assert_allclose(noisy_layer._observables([0], noise)[0] @ vectors[0], 0.8 * 0.8 - 0.2 * 0.4, atol=1e-14)
