"""`hqc devices MACHINE`, and `--snapshot`: a machine in numbers, as a picture, and as a file."""

from __future__ import annotations

import itertools
import json
import sys
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate
from qiskit.transpiler import Target
from qiskit_aer.noise import NoiseModel, depolarizing_error

from hqc_ray import cli
from hqc_ray.quantum.devices.ibm import service
from hqc_ray.quantum.noise import own
from hqc_ray.quantum.study import machine as study

QUBIT = {"t1_us": 100.0, "t2_us": 80.0, "readout_01": 0.01, "readout_10": 0.03, "date": "2026-10-31T00:00:00Z"}
SMALL = {
    "calibration": 1, "machine": "ibm_small", "date": "2026-11-01T00:00:00Z", "qubits": [QUBIT] * 3,
    "gates": {
        "sx": [{"on": [q], "error": 1e-4 * (q + 1)} for q in range(3)],
        "cz": [{"on": [0, 1], "error": 5e-3}, {"on": [1, 0], "error": 4e-3}, {"on": [2, 1], "error": 1e-2}],
    },
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    return str(path)


def test_its_numbers(file: str) -> None:
    found = study.look(file)
    assert found.couplings == {(0, 1): 4e-3, (1, 2): 1e-2}
    last = found.qubits[2]
    assert (last.t1, last.t2, last.readout) == pytest.approx((100.0, 80.0, 0.02))
    assert (last.single, last.double, last.age) == pytest.approx((3e-4, 1e-2, 1.0))


def test_gates_on_any_qubits_are_shown_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As trapped ions have them: the target lists a gate, and no qubits."""

    def ions() -> Any:
        target, model = Target(num_qubits=4), NoiseModel()
        for gate in (SXGate(), RZGate(Parameter("angle")), CXGate(), Measure()):
            target.add_instruction(gate)
        model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["sx"])
        model.add_all_qubit_quantum_error(depolarizing_error(0.04, 2), ["cx"])
        return own.simulated("ions", target, model)

    lab = types.ModuleType("ion_lab")
    lab.ions = ions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ion_lab", lab)
    found = study.look("ion_lab:ions")
    assert found.couplings == {pair: pytest.approx(0.03) for pair in itertools.combinations(range(4), 2)}
    assert [(qubit.single, qubit.double) for qubit in found.qubits] == [(pytest.approx(0.01), pytest.approx(0.03))] * 4
    assert {n: error for n, _, error in study.chains(found)} == {n: pytest.approx(1 - 0.97 ** (n - 1)) for n in (2, 3, 4)}


def test_its_best_chains(file: str) -> None:
    chains = {n: (qubits, error) for n, qubits, error in study.chains(study.look(file))}
    assert sorted(chains) == [2, 3]
    assert sorted(chains[2][0]) == [0, 1]
    assert chains[2][1] == pytest.approx(1 - (1 - 4e-3) * 0.98**2)  # the better direction
    assert chains[3][1] == pytest.approx(1 - (1 - 4e-3) * 0.99 * 0.98**3)


def test_the_picture_has_every_qubit_and_coupling(file: str) -> None:
    figure = study.figure(study.look(file), (0, 1))
    axes = figure.axes[0]
    assert len(axes.lines) == 2
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    (dots,) = axes.collections
    assert sorted(set(dots.get_linewidths())) == [0.5, 3.0]


def test_a_snapshot_is_saved_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "manila.json", tmp_path / "manila.png"
    assert cli.main(["devices", "--snapshot", "fake_manila", "-o", str(file)]) == 0
    assert "5 qubits, calibrated" in capsys.readouterr().out
    assert cli.main(["devices", str(file), "--circuit", "vqc1", "--qubits", "3", "--draw", str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["qubits"]) == 5
    assert len(found["couplings"]) == 4
    assert found["circuit"]["best"]["expected_error"] <= found["circuit"]["qiskit"]["expected_error"] + 1e-12
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["devices", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "readout error" in shown
    assert "best chain of 5" in shown


def test_a_day_ends_where_the_next_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    taken = service.calibration("fake_manila")
    monkeypatch.setattr(service, "calibration", lambda *given: asked.append(given) or taken)
    assert cli.main(["devices", "--snapshot", "ibm_manila", "--date", "2026-11-01", "-o", str(tmp_path / "a.json")]) == 0
    assert asked == [("ibm_manila", datetime(2026, 11, 1, 23, 59, 59, tzinfo=UTC))]
