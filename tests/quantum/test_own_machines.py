"""`noise: package.module:callable`: any BackendV2 of Qiskit's, and what Aer itself makes of it."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import machine_cases
import numpy as np
import pytest
import torch
from noise_cases import chi_square, counted, uniform_angles

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.plan.keys import content_key
from hqc_ray.quantum.noise import machines, own
from hqc_ray.quantum.transfer import ptm
from hqc_ray.spec import DeviceSpec


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The cases as a user's own module `lab`."""
    module = types.ModuleType("lab")
    vars(module).update({k: v for k, v in vars(machine_cases).items() if not k.startswith("_")})
    monkeypatch.setitem(sys.modules, "lab", module)
    machines.backend.cache_clear()
    machines.machine.cache_clear()
    yield module
    machines.backend.cache_clear()
    machines.machine.cache_clear()


def weights_of(circuit: circuits.Circuit) -> torch.Tensor:
    return 6 * torch.rand(circuit.n_weights, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("name", ["made_up", "generic", "carrying"])
@pytest.mark.parametrize("head", ["vqc1", "vqc6"])
def test_its_probabilities_are_those_of_aers_own_run(name: str, head: str) -> None:
    circuit, device = circuits.get(head, 4), devices.get("qiskit.aer", noise=f"lab:{name}")
    weights, angles = weights_of(circuit), uniform_angles(circuit, 1)[0]
    exact = device.probabilities(circuit, weights, angles[None])[0]
    counts = counted(device, circuit, weights, angles, shots=20_000)
    assert chi_square(counts, exact) > 1e-3
    ideal = devices.get("default.qubit").probabilities(circuit, weights, angles[None])[0]
    assert chi_square(counts, ideal) < 1e-6
    assert surrogate.fit(circuit, weights, device).max_error < 1e-12  # by transfer matrices, against Aer


def test_a_circuit_goes_to_the_gates_the_directions_and_the_working_qubits() -> None:
    circuit, device = circuits.get("vqc1", 4), devices.get("qiskit.aer", noise="lab:made_up")
    compiled = device.compiled(circuit, weights_of(circuit))
    assert set(compiled.count_ops()) == {"r", "rz", "ecr", "measure"}
    pairs = {tuple(compiled.find_bit(q).index for q in step.qubits) for step in compiled.data if step.operation.name == "ecr"}
    assert pairs <= {(1, 2), (3, 2), (3, 4), (5, 4)}
    layout = device.facts(circuit).layout
    assert layout is not None
    assert 0 not in layout
    assert device.facts(circuit).noisy_gates == compiled.count_ops()["r"] + compiled.count_ops()["ecr"]


def test_the_errors_are_aers_and_scale_as_those_of_any_machine() -> None:
    from qiskit.quantum_info import average_gate_fidelity

    name = machines.canonical("lab:made_up")
    for scale in (0.5, 1.0, 2.0):
        machine = machines.machine(name, scale)
        error = machine.error("ecr", (3, 2))
        assert 1 - average_gate_fidelity(error.to_quantumchannel()) == pytest.approx(0.02 * scale, rel=1e-9)
        np.testing.assert_allclose(
            machine.assignment(3), np.array([[1, 0], [0, 1]]) + scale * np.array([[-0.03, 0.03], [0.03, -0.03]])
        )
        assert machine.error("rz", (1,)) is machine.error("r", (0,)) is machine.assignment(0) is None


def test_a_noise_model_that_a_backend_carries_is_used_and_its_probabilities_are_scaled() -> None:
    from qiskit_aer.noise import depolarizing_error

    name = machines.canonical("lab:carrying")
    for scale in (0.25, 1.0, 3.0):
        machine = machines.machine(name, scale)
        for gate, qubits, p in (("sx", (4,), 0.02), ("cx", (7, 2), 0.05)):
            expected = ptm.error_transfer(depolarizing_error(p * scale, len(qubits)), len(qubits))
            np.testing.assert_allclose(ptm.error_transfer(machine.error(gate, qubits), len(qubits)), expected, atol=1e-12)
        np.testing.assert_allclose(machine.assignment(1), [[1 - 0.03 * scale, 0.03 * scale], [0.08 * scale, 1 - 0.08 * scale]])
        assert machine.error("rz", (0,)) is None
    with pytest.raises(DeviceError, match=r"noise_scale 20 takes an error of aer_simulator.* above probability 1.*0 to [0-9.]+"):
        devices.get("qiskit.aer", noise="lab:carrying", noise_scale=20).check(circuits.get("vqc1", 4))


def test_a_t2_beyond_2_t1_counts_as_2_t1(lab: types.ModuleType) -> None:
    lab.long, lab.most = (lambda: machine_cases.with_times(1e-5, 1e-4)), (lambda: machine_cases.with_times(1e-5, 2e-5))  # type: ignore[attr-defined]
    circuit = circuits.get("vqc1", 2)
    found = [
        devices.get("qiskit.aer", noise=f"lab:{name}").probabilities(circuit, weights_of(circuit), uniform_angles(circuit, 2))
        for name in ("long", "most")
    ]
    torch.testing.assert_close(*found, rtol=0, atol=1e-14)


def test_the_name_holds_the_machines_numbers(lab: types.ModuleType) -> None:
    name = machines.canonical("lab:made_up")
    assert machines.canonical(name) == name == devices.get("qiskit.aer", noise="lab:made_up").noise  # type: ignore[attr-defined]
    lab.made_up = lambda: machine_cases.made_up(error=0.011)  # type: ignore[attr-defined]
    other = machines.canonical("lab:made_up")
    assert other != name
    assert other.partition("@")[0] == name.partition("@")[0] == "lab:made_up"
    with pytest.raises(DeviceError, match="'lab:made_up': gives another machine than before"):
        machines.backend(name)


def test_a_noise_model_has_the_same_name_in_every_process() -> None:
    assert own.canonical("lab:carrying") == own.canonical("lab:carrying")


def test_keys_of_other_devices_stay_and_those_of_own_code_hold_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert content_key(DeviceSpec(name="qiskit.aer", noise="fake_manila")) == "1ca42db9bd2210c8"
    keys = []
    for line in ("", "# edited\n"):
        (tmp_path / "lab_code.py").write_text(f"{line}def machine(): ...\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        from hqc_ray.usercode import with_code

        with_code.cache_clear()
        keys.append(content_key(DeviceSpec(name="qiskit.aer", noise="lab_code:machine@12345678")))
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lab:nothing", "'lab:nothing': gives a NoneType, and no BackendV2"),
        ("lab:number", "'lab:number': is a int, and no callable"),
        ("lab:raises", "cannot call backend 'lab:raises': KeyError: 'oops'.*machine_cases.py, line"),
        ("lab:takes", "cannot call backend 'lab:takes': TypeError"),
        ("lab:loose", "gives another machine each time it is called"),
        ("lab:drifts", "gives another machine each time it is called"),
        ("lab:wild", r"has an error of 1.4 of ecr on \[1, 2\]"),
        ("lab:timeless", "has T1 0 s of qubit 0"),
        ("lab:endless", "has a target without a number of qubits"),
        ("lab:missing", "cannot import backend 'lab:missing'"),
        ("nowhere:at_all", "cannot import backend 'nowhere:at_all'"),
        ("aqt:garnet", r"unknown machine 'aqt:garnet'.*aqt:offline_simulator_noise"),
        ("iqm:adonis", r"iqm-client\[qiskit\] is not installed"),
    ],
)
def test_a_callable_that_gives_no_machine_is_refused(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iqm", None)  # type: ignore[arg-type]  # as where it is not installed
    monkeypatch.setitem(sys.modules, "iqm.qiskit_iqm.fake_backends", None)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", noise=name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "qubits", "message"),
    [
        ("silent", 4, "no gate of .* carries an error on made_up: the noise would never fire"),
        ("one_way", 4, "Qiskit cannot compile .*vqc1.* for made_up: TranspilerError"),
        ("made_up", 6, "Qiskit cannot compile .*vqc1.* for made_up"),  # five work
        ("made_up", 7, "has more qubits than lab:made_up@.*up to 6 qubits"),
    ],
)
def test_a_machine_on_which_a_circuit_cannot_run_is_refused(name: str, qubits: int, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", noise=f"lab:{name}").check(circuits.get("vqc1", qubits))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif("not __import__('importlib').util.find_spec('qiskit_aqt_provider')", reason="needs qiskit-aqt-provider")
def test_aqts_simulator_is_its_own_noise_model_on_any_pair_of_ions() -> None:
    circuit, device = circuits.get("vqc1", 4), devices.get("qiskit.aer", noise="aqt:offline_simulator_noise")
    assert set(device.compiled(circuit, weights_of(circuit)).count_ops()) <= {"r", "rz", "rxx", "measure"}  # type: ignore[attr-defined]
    assert surrogate.fit(circuit, weights_of(circuit), device).max_error < 1e-12


@pytest.mark.skipif("not __import__('importlib').util.find_spec('iqm')", reason="needs iqm-client[qiskit]")
def test_iqms_machine_is_its_own_noise_model_and_scales_by_its_numbers() -> None:
    circuit, device = circuits.get("vqc1", 3), devices.get("qiskit.aer", noise="iqm:adonis")
    assert surrogate.fit(circuit, weights_of(circuit), device).max_error < 1e-12
    halved = machines.machine("iqm:adonis", 0.5)
    np.testing.assert_allclose(halved.assignment(0), [[1 - 0.0105, 0.0105], [0.0105, 1 - 0.0105]])
