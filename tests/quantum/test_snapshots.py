"""A calibration as a file: taken from a machine, used offline, held by keys through its content alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qiskit_ibm_runtime
import torch
from noise_cases import uniform_angles

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.devices.ibm import service
from hqc_ray.quantum.noise import machines, snapshots
from hqc_ray.quantum.transfer import ptm

SMALL: dict[str, Any] = {
    "calibration": 1, "machine": "ibm_small", "date": "2026-11-01T06:00:00Z", "dt_ns": 4.0,
    "qubits": [
        {"t1_us": 100.0 + q, "t2_us": 80.0, "readout_01": 0.01, "readout_10": 0.03, "readout_ns": 800,
         "date": "2026-10-31T06:00:00Z"}
        for q in range(3)
    ],
    "gates": {
        "sx": [{"on": [q], "error": 1e-4 * (q + 1), "ns": 32} for q in range(3)],
        "rz": [{"on": [q], "error": 0.0, "ns": 0} for q in range(3)],
        "cz": [{"on": list(on), "error": 5e-3, "ns": 68} for on in ((0, 1), (1, 0), (1, 2), (2, 1))],
    },
}  # fmt: skip


def written(folder: Path, **changes: Any) -> str:
    file = folder / "small.json"
    file.write_text(json.dumps({**SMALL, **changes}))
    return str(file)


@pytest.fixture(scope="module")
def manila(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("taken") / "manila.json"
    file.write_text(service.calibration("fake_manila").text)
    return str(file)


def test_a_snapshot_of_a_machine_is_that_machine(manila: str) -> None:
    device, fake = devices.get("qiskit.aer", noise=manila), devices.get("qiskit.aer", noise="fake_manila")
    circuit = circuits.get("vqc1", 4)
    ours, theirs = machines.machine(str(device.noise)), machines.machine("fake_manila")  # type: ignore[attr-defined]
    for gate, qubits in (("cx", (0, 1)), ("cx", (3, 2)), ("sx", (3,)), ("x", (4,)), ("id", (0,))):
        error = ptm.error_transfer(theirs.error(gate, qubits), len(qubits))
        np.testing.assert_allclose(ptm.error_transfer(ours.error(gate, qubits), len(qubits)), error, atol=1e-12)
    assert ours.error("rz", (0,)) is None
    for qubit in range(5):
        both = ours.assignment(qubit), theirs.assignment(qubit)
        assert both[0] is not None
        assert both[1] is not None
        np.testing.assert_allclose((both[0][0, 1] + both[0][1, 0]) / 2, both[1][0, 1], rtol=1e-9)  # fakes know the mean only
    own, of_fake = machines.backend(str(device.noise)).target, machines.backend("fake_manila").target  # type: ignore[attr-defined]
    assert sorted(own.build_coupling_map().get_edges()) == sorted(of_fake.build_coupling_map().get_edges())
    assert own.dt == pytest.approx(of_fake.dt)
    assert own["cx"][1, 0].duration == pytest.approx(of_fake["cx"][1, 0].duration)
    assert own["measure"][2,].duration == pytest.approx(of_fake["measure"][2,].duration)
    assert device.facts(circuit) == fake.facts(circuit)
    weights = torch.rand(circuit.n_weights, dtype=torch.float64)
    assert surrogate.fit(circuit, weights, device).max_error < 1e-12
    near = device.probabilities(circuit, weights, uniform_angles(circuit, 2)) - fake.probabilities(
        circuit, weights, uniform_angles(circuit, 2)
    )
    assert 0 < near.abs().max() < 0.05


def test_readout_is_as_it_was_measured(manila: str) -> None:
    properties = machines.backend("fake_manila").properties()
    matrix = machines.machine(machines.canonical(manila)).assignment(3)
    up, down = (properties.qubit_property(3, name)[0] for name in ("prob_meas1_prep0", "prob_meas0_prep1"))
    np.testing.assert_allclose(matrix, [[1 - up, up], [down, 1 - down]])


def test_the_name_is_that_of_its_content_wherever_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = machines.canonical(written(tmp_path))
    assert snapshots.NAME.fullmatch(name)
    assert name.startswith("ibm_small@2026-11-01-")
    assert devices.get("qiskit.aer", noise=name).label == f"qiskit.aer[{name}]"  # as a row has it
    (tmp_path / "elsewhere").mkdir()
    spaced = tmp_path / "elsewhere" / "copy.JSON"
    spaced.write_text(json.dumps(SMALL, indent=3, sort_keys=True))
    assert machines.canonical(str(spaced)) == name
    monkeypatch.setenv("WHERE", str(tmp_path))
    assert machines.canonical("${WHERE}/small.json") == name
    qubits = [{**SMALL["qubits"][0], "t1_us": 100.001}, *SMALL["qubits"][1:]]
    assert machines.canonical(written(tmp_path, qubits=qubits)) != name
    assert snapshots.give(snapshots.get(name).text) == name


def test_a_process_that_has_not_read_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = machines.canonical(written(tmp_path))
    text = snapshots.get(name).text
    monkeypatch.setattr(snapshots, "_at_hand", {})
    with pytest.raises(DeviceError, match=f"the calibration {name} is not at hand"):
        devices.get("qiskit.aer", noise=name)
    snapshots.give(text)
    devices.get("qiskit.aer", noise=name).check(circuits.get("vqc1", 3))


def test_what_does_not_work_is_not_used(tmp_path: Path) -> None:
    qubits = [*SMALL["qubits"][:2], {"works": False}]
    device = devices.get("qiskit.aer", noise=written(tmp_path, qubits=qubits))
    assert device.facts(circuits.get("vqc1", 2)).layout in ((0, 1), (1, 0))
    with pytest.raises(DeviceError, match="Qiskit cannot compile"):
        device.check(circuits.get("vqc1", 3))


def test_ages_are_those_of_the_oldest_number(tmp_path: Path) -> None:
    old = [{**SMALL["gates"]["cz"][0], "date": "2026-10-22T06:00:00+00:00"}, *SMALL["gates"]["cz"][1:]]
    name = machines.canonical(written(tmp_path, gates={**SMALL["gates"], "cz": old}))
    assert snapshots.ages(snapshots.get(name)) == [10.0, 10.0, 1.0]


class Service:
    """The QiskitRuntimeService of an account, and its one machine, which is calibrated every day."""

    asked: list[Any] = []  # noqa: RUF012  # one service, as there is one

    def backend(self, name: str) -> Any:
        if name != "ibm_manila":
            raise LookupError(f"no {name} for hunter2secret")
        return Backend()


class Backend:
    def __init__(self) -> None:
        self.fake = machines.backend("fake_manila")
        self.target, self.dt, self.configuration = self.fake.target, self.fake.dt, self.fake.configuration

    def properties(self, refresh: bool = False, datetime: datetime | None = None) -> Any:
        Service.asked.append(datetime)
        found = type(self.fake)().properties()
        if datetime is not None:
            if datetime.year < 2025:
                return None
            found.last_update_date = datetime - timedelta(hours=3)
            found.gates[3].parameters[0].value *= 2
        return found


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "hunter2secret")
    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", Service)
    service.cloud.cache_clear()
    Service.asked.clear()


@pytest.mark.usefixtures("cloud")
def test_the_calibration_of_a_day_is_asked_for() -> None:
    day = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    now, then = service.calibration("ibm_manila"), service.calibration("ibm_manila", day)
    assert Service.asked == [None, day]
    assert now.name != then.name
    assert then.name.startswith("ibm_manila@2026-11-01-")
    changed = [gate for gate in now.gates if now.gates[gate] != then.gates[gate]]
    assert len(changed) == 1
    assert len(now.qubits) == 5
    assert now.qubits[0].t1_us == pytest.approx(machines.backend("fake_manila").target.qubit_properties[0].t1 * 1e6)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("name", "day", "message"),
    [
        ("ibm_nowhere", None, r"cannot open backend 'ibm_nowhere': LookupError: no ibm_nowhere for \*\*\*"),
        ("ibm_manila", datetime(2019, 1, 1, tzinfo=UTC), "ibm_manila has no calibration"),
        ("fake_manila", datetime(2026, 1, 1, tzinfo=UTC), "--date: fake_manila has one calibration, of no other day"),
        ("fake_nowhere", None, "unknown fake backend 'fake_nowhere'"),
    ],
)
def test_a_calibration_that_is_not_there(name: str, day: datetime | None, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        service.calibration(name, day)


def gates(**changes: Any) -> dict[str, Any]:
    return {"gates": {**SMALL["gates"], **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no snapshot: not JSON"),
        ("[]", "no snapshot: its JSON is no object"),
        ("[" * 100_000, "no snapshot"),
        ("{}", "'calibration' is required|'machine' is required"),
        ('{"calibration": 1, "calibration": 1}', "a key stands twice"),
        ({"calibration": 2}, "calibration: Input should be 1"),
        ({"extra": 1}, "unknown option 'extra'"),
        ({"machine": "../x"}, "machine: "),
        ({"date": "2026-11-01"}, "date: "),
        ({"qubits": []}, "qubits: "),
        ({"qubits": [{"t1_us": 0}] * 3}, "t1_us: .*greater than 0"),
        ({"qubits": [{"t1_us": True}] * 3}, "a boolean is no number"),
        ({"qubits": [{"readout_01": 1.5}] * 3}, "readout_01: .*less than or equal to 1"),
        ({"qubits": [{"t1_us": float("nan")}] * 3}, "NaN is no number"),
        (gates(cz=[{"on": [0, 3]}]), r"'cz' on \[0, 3\], of 3 qubits"),
        (gates(cz=[{"on": [1, 1]}]), r"'cz' on \[1, 1\]"),
        (gates(cz=[{"on": [0]}]), "'cz' acts on 2 qubits"),
        (gates(cz=[{"on": [0, 1]}, {"on": [0, 1]}]), "'cz' stands twice"),
        (gates(cz=[{"on": [0, 1], "error": -1}]), "error: .*greater than or equal to 0"),
        (gates(nope=[{"on": [0]}]), "'nope' is none of Qiskit's gates"),
        (gates(ccx=[{"on": [0, 1, 2]}]), "ccx"),
        ({"gates": {}}, "gates: "),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused_in_one_line(content: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content if isinstance(content, str) else json.dumps({**SMALL, **content}))
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", noise=str(file))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("bad.json: no snapshot")


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.json").mkdir()
    large = tmp_path / "large.json"
    large.write_text(" " * 100)
    monkeypatch.setattr(snapshots, "MAX_BYTES", 99)
    for name, message in (
        ("missing.json", "cannot read .*missing.json': No such file"), ("folder.json", "is no file"), ("large.json", "too large"),
        ("a\0b.json", "cannot read"),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=message):
            devices.get("qiskit.aer", noise=str(tmp_path / name))


def test_more_qubits_than_the_snapshot_has(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"has more qubits than ibm_small@2026-11-01-.*up to 3 qubits"):
        devices.get("qiskit.aer", noise=written(tmp_path)).check(circuits.get("vqc1", 4))
