from __future__ import annotations

import itertools
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Circle, FancyBboxPatch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits, cli, devices
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits import drawing
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import parity
from hqc_ray.quantum.devices.ibm import device as ibm
from hqc_ray.quantum.devices.pennylane import LightningQubit
from hqc_ray.quantum.study import analysis, catalogue, inventory

TINY = "--pairs=50"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables in columns, however wide the terminal of whoever runs the tests."""
    monkeypatch.setenv("COLUMNS", "220")


def output(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = cli.OK) -> str:
    assert cli.main([str(a) for a in arguments]) == code
    return capsys.readouterr().out


# hqc circuits


def cells(out: str) -> dict[str, list[str]]:
    """The lines of a table below its head, by their first cell; the rule below the head says where columns stand."""
    _, rule, *lines = re.split(r"(?m)^(─.*)\n", out.split("\n\n")[0])
    lines = "".join(lines).splitlines()
    columns = [slice(*found.span()) for found in re.finditer("─+", rule)]
    return {first: rest for first, *rest in ([line[column].strip() for column in columns] for line in lines)}


def test_a_row_holds_what_the_analysis_and_the_device_say() -> None:
    circuit = circuits.get("vqc1")
    row = catalogue.row(circuit, ["fake_manila"], pairs=300, seed=2)
    assert row.expressibility == analysis.expressibility(circuit, 300, seed=2)
    assert row.entangling == analysis.entangling_capability(circuit, 600, seed=2)
    assert (row.reported, len(row.dead_weights), row.dead_inputs) == (1.431, 8, ())
    facts = devices.get("qiskit.aer", noise="fake_manila").facts(circuit)
    assert row.compiled == {"fake_manila": facts}
    assert facts.two_qubit_gates > 16  # of the circuit as written: its rings need swaps on a line of qubits
    embedded = catalogue.row(circuits.get("vqc5", 3), pairs=100, embedded=True)
    assert embedded.entangling.value > 0.3 > catalogue.row(circuits.get("vqc5", 3), pairs=100).entangling.value


def test_every_circuit_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = output(capsys, "circuits", TINY, "--qubits", 3, "--embedding", "ry")
    rows = cells(out)
    assert list(rows) == list(circuits.CIRCUITS)
    assert rows["sim13"][:2] == ["3", "12"]
    assert all(all(row[:3]) and all(row[4:]) for row in rows.values())  # the paper reports few
    assert f"{analysis.floor(3, 50):.4f} on 3 qubits" in out


def test_a_few_circuits_are_listed_with_their_dead_parts_and_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    out = output(capsys, "circuits", "vqc1", "sim9", "vqc5", TINY, "--backend", "fake_manila", "fake_guadalupe")
    rows = cells(out)
    row = catalogue.row(circuits.get("vqc1"), ["fake_guadalupe"], pairs=50)
    kl, made = row.expressibility, row.compiled["fake_guadalupe"]
    assert rows["vqc1"][:4] == ["4", "28", f"{kl.value:.4f} [{kl.low:.4f}, {kl.high:.4f}]", "1.431"]
    assert rows["vqc1"][5:7] == ["8", "0"]
    assert made is not None
    assert rows["vqc1"][-1] == f"{made.depth} / {made.two_qubit_gates}"
    assert rows["sim9"][4:7] == ["1.000 [1.000, 1.000]", "all", "all"]
    assert rows["vqc5"][-2] == "too small"
    assert f"vqc1: dead weights {', '.join(map(str, row.dead_weights))}" in out
    assert "sim9: dead inputs 0, 1, 2, 3" in out


BAD = {
    "circuit": (["vqc9"], "unknown circuit 'vqc9'; did you mean 'vqc"),
    "users": (["nowhere:circuit"], "cannot import circuit 'nowhere:circuit'"),
    "rz": (["vqc1", "--embedding", "rz"], "embedding 'rz'"),
    "qubits": (["vqc1", "--qubits", "1"], "n_qubits 1 (valid: a whole number from 2 to 16)"),
    "layers": (["vqc1", "--layers", "0"], "layers 0 "),
    "reuploads": (["vqc1", "--reuploads", "0"], "reuploads 0 "),
    "pairs": (["vqc1", "--pairs", "9"], "9 pairs of states (valid: 10 or more"),
    "backend": (["vqc1", "--backend", "fake_manilla"], "unknown fake backend 'fake_manilla'"),
    "small backend": (["vqc1", "vqc2", "--qubits", "6", "--backend", "fake_manila"], "more qubits than fake_manila"),
    "nothing to draw": (["--draw", "x.png"], "one circuit can be drawn at a time"),
    "two to draw": (["vqc1", "vqc2", "--draw", "x.png"], "one circuit can be drawn at a time"),
    "form": (["vqc1", "--draw", "x.doc"], "cannot draw to 'x.doc' (valid: a file .png, .pdf, .svg or .txt, or -)"),
    "folder": (["vqc1", "--draw", "nowhere/x.png"], "cannot write 'nowhere/x.png': No such file or directory"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[name]
    assert cli.main(["circuits", *arguments]) == cli.BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("hqc: error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


# drawing


TEXT = """asymmetric: 3 qubits, 12 weights, embedding rx

0: ─RX(x0)─●──────H──────────────────●─────U1(w8)────────────────────────⊕─RZ(w9)─RX(w10)─<Z>
           │                         │                                   │
1: ─RX(x1)─┼─U3(w0,w1,w2)─RX(w3)───RZ(w4)────●────PhaseShift(w7)─RY(0.3)─●────────────────<Z>
           │                │                │
2: ─RX(x2)─⊕────────────────●────U2(w5,w6)───●───────RY(w11)──────────────────────────────<Z>"""


def test_text() -> None:
    assert drawing.text(asymmetric()) == TEXT


def test_long_text_is_folded_and_nothing_is_lost() -> None:
    circuit = circuits.get("sim13", 3, layers=2, reuploads=2)
    title, *parts = re.split(r"\n\n(?=0: )", drawing.text(circuit, width=70))
    assert title == "sim13: 3 qubits, 48 weights, embedding rx, 2 layers, 2 uploads"
    assert len(parts) > 2
    assert max(len(line) for part in parts for line in part.splitlines()) <= 70
    assert all(sum(part.count(f"(w{i})") for part in parts) == 1 for i in range(48))
    assert sum(part.count("RX(x1)") for part in parts) == 2
    assert [part.count("<Z>") for part in parts] == [0] * (len(parts) - 1) + [3]


@pytest.mark.parametrize("circuit", [asymmetric(), *(circuits.get(name, 5, "h+ry") for name in circuits.CIRCUITS)], ids=str)
def test_columns_keep_the_order_of_each_wire_and_nothing_overlaps(circuit: Circuit) -> None:
    placed = drawing.columns(circuit)
    for wire in range(circuit.n_qubits):
        drawn = [gate for column in placed for gate in column if wire in gate.wires]
        assert drawn == [gate for gate in circuit.gates if wire in gate.wires]
    for column in placed:
        covered = [wire for gate in column for wire in range(min(gate.wires), max(gate.wires) + 1)]
        assert len(covered) == len(set(covered))


def test_a_figure_has_a_box_for_every_gate_and_a_cross_for_every_cnot() -> None:
    circuit = circuits.get("vqc2", 5)
    figure = drawing.figure(circuit)
    (axes,) = figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == sum(gate.name != "CZ" for gate in circuit.gates)
    (other,) = drawing.figure(asymmetric()).axes
    assert sum(isinstance(patch, Circle) for patch in other.patches) == 2
    texts = [text.get_text() for text in other.texts]
    assert {"U3\nw0-2", "RX\nx0", "RY\n0.3", "H", "P\nw7"} <= set(texts)
    for drawn in (axes, other):  # all inside
        (left, right), (low, high) = drawn.get_xlim(), drawn.get_ylim()
        for patch in drawn.patches:
            box = patch.get_path().transformed(patch.get_patch_transform()).get_extents()
            assert left < box.x0 < box.x1 < right
            assert low < box.y0 < box.y1 < high


def test_draw_to_a_file_and_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, page = tmp_path / "c.png", tmp_path / "c.txt"
    assert output(capsys, "circuits", "sim14", "--qubits", 3, "--layers", 2, "--draw", image) == f"{image}\n"
    assert image.read_bytes().startswith(b"\x89PNG")
    output(capsys, "circuits", "sim14", "--qubits", 3, "--draw", page)
    shown = output(capsys, "circuits", "sim14", "--qubits", 3, "--draw", "-")
    assert shown.startswith("sim14: 3 qubits, 12 weights, embedding rx")
    assert page.read_text(encoding="utf-8").split() != []
    assert shown.count("RY(") == page.read_text(encoding="utf-8").count("RY(") == 6


# hqc devices


def states_of(found: list[inventory.Found]) -> dict[str, bool]:
    return {device.name: device.usable for device in found}


def test_devices_are_shown_with_versions_and_pip_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if package in ("pennylane-lightning-gpu", "qiskit-aer"):
            raise PackageNotFoundError(package)
        return "1.2.3"

    monkeypatch.setattr(inventory, "version", version)
    found = {device.name: device for device in inventory.installed()}
    assert found["qiskit.aer"] == inventory.Found("qiskit.aer", "", False, "pip install qiskit-aer qiskit")
    assert found["default.qubit"].usable
    out = output(capsys, "devices")
    assert "pip install pennylane-lightning-gpu" in out
    assert "1.2.3" in out
    assert "fake_manila," in out
    assert "by their names: reference.qubit" in out  # and none that no plan accepts
    assert "default.clifford" not in out


def test_a_device_that_does_not_open_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no CUDA\ndevice")

    monkeypatch.setattr("pennylane.device", broken)
    found = {device.name: device for device in inventory.installed()}
    assert (found["lightning.qubit"].usable, found["lightning.qubit"].note) == (False, "no CUDA device")
    assert found["qiskit.aer"].usable


def test_an_account_is_told_and_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ibm, "ACCOUNT_FILE", tmp_path / "accounts.json")
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    assert "no account" in output(capsys, "devices")
    assert not states_of(inventory.installed())["ibm"]
    (tmp_path / "accounts.json").write_text("{}")  # so the runtime leaves it where it was asked for an account in vain
    assert not states_of(inventory.installed())["ibm"]
    (tmp_path / "accounts.json").write_text('{"default": {"token": "s3cret"}}')
    assert "account: saved" in (shown := output(capsys, "devices"))
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "s3cret")
    assert "account: in the environment" in (again := output(capsys, "devices"))
    assert "s3cret" not in shown + again
    assert not next(device for device in inventory.installed() if device.name == "ibm").checkable


def test_devices_agree(capsys: pytest.CaptureFixture[str]) -> None:
    out = output(capsys, "devices", "--check")
    rows = cells(out)
    for name in ("default.qubit", "lightning.qubit", "qiskit.aer", "default.mixed"):
        assert rows[name][0] == "yes"
        assert float(rows[name][2]) < 1e-10


@pytest.mark.parametrize("broken", ["mirrored", "raises"])
def test_a_device_that_differs_fails_the_check(
    broken: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = LightningQubit.run

    def run(self: LightningQubit, circuit: Circuit, *given: np.ndarray) -> np.ndarray:
        if broken == "raises":
            raise ValueError("lost [the\nconnection]")
        shaped = right(self, circuit, *given).reshape(-1, *[2] * circuit.n_qubits)
        return shaped.transpose(0, *range(circuit.n_qubits, 0, -1)).reshape(len(shaped), -1)

    monkeypatch.setattr(LightningQubit, "run", run)
    assert cli.main(["devices", "--check"]) == cli.FAILED
    captured = capsys.readouterr()
    assert captured.err.startswith("hqc: lightning.qubit: ")
    assert "fails" in captured.out
    assert broken == "mirrored" or "ValueError: lost [the connection]" in captured.out


def test_the_circuit_of_the_check_would_show_any_exchange_of_wires() -> None:
    circuit = parity.asymmetric()
    outcome = devices.get("default.qubit").probabilities(circuit, *inputs(circuit)).reshape(5, 2, 2, 2)
    for order in list(itertools.permutations(range(1, 4)))[1:]:
        assert (outcome.permute(0, *order) - outcome).abs().amax((1, 2, 3)).min() > 0.02
    assert len({gate.name for gate in circuit.gates}) == 11


def test_parity_of_a_device_that_cannot_run_it_is_an_error() -> None:
    with pytest.raises(DeviceError, match="more qubits than fake_armonk"):
        parity.deviation(devices.get("qiskit.aer", noise="fake_armonk"))
    assert parity.deviation(devices.get("default.qubit")) < 1e-12
    assert torch.get_default_dtype() == torch.float32
