"""docs/extend.md runs as it stands: its five examples, in one module beside its sweep file, which is planned and run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import hqc_ray
from hqc_ray import circuits, cli, devices
from hqc_ray.quantum.circuits.ir import Weight

TEXT = (Path(__file__).parent.parent / "docs" / "extend.md").read_text(encoding="utf-8")
CODE = re.findall(r"```py\n(.*?)```", TEXT, re.DOTALL)
(SWEEP,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("extended")
    (at / "extend").mkdir()
    (at / "extend" / "mine.py").write_text("\n\n".join(CODE))
    (at / "extend" / "mine.yaml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HQC_CACHE", str(at / "cache"))
        patch.chdir(at)  # neither the module's folder nor PYTHONPATH: it is found beside the sweep file
        patch.delitem(sys.modules, "mine", raising=False)
        patch.setattr(sys, "path", list(sys.path))
        assert cli.main(["plan", "extend/mine.yaml"]) == cli.OK
        assert cli.main(["sweep", "extend/mine.yaml", "--serial"]) == cli.OK
        yield at
        del sys.modules["mine"]


@pytest.mark.parametrize("code", CODE, ids=lambda code: re.findall(r"(?:def|class) (\w+)", code)[0])
def test_each_example_is_under_fifteen_lines(code):
    assert len([line for line in code.splitlines() if line.strip() and not line.strip().startswith('"""')]) < 15


def test_the_examples_are_planned_run_and_read_again(folder):
    found = hqc_ray.results(folder / "results" / "mine")
    assert set(found.rows["status"]) == {"ok"}
    assert len(found.rows) == 8
    assert set(found.rows["device"]) == {"default.qubit", "mine:damped[p=0.1]"}
    row = found.row(attack="mine:OneStep", epsilon=16 / 255, device="mine:damped[p=0.1]")
    images, labels = found.images(row)
    model = found.classifier(row)
    predictions = model(__import__("torch").from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    assert (predictions == labels).mean() == row.clean_accuracy


def test_the_native_route_gives_the_same_clean_accuracy(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HQC_CACHE", str(folder / "cache"))
    native = SWEEP.replace("name: mine", "name: native").replace("evaluate: {", "evaluate: {mode: native, ")
    native = (
        native.replace("[4/255, 16/255]", "16/255").replace("[{name: default.qubit}, {", "[{").replace("images: 6", "images: 3")
    )
    (folder / "extend" / "native.yaml").write_text(native)
    assert cli.main(["sweep", "extend/native.yaml", "--serial"]) == cli.OK
    found = hqc_ray.results(folder / "results" / "native")
    assert {row.device for row in found.folder.rows()} == {"mine:damped[p=0.1] (native)"}
    row = found.row(attack="mine:OneStep")
    surrogate = hqc_ray.results(folder / "results" / "mine")
    same = surrogate.row(attack="mine:OneStep", epsilon=16 / 255, device="mine:damped[p=0.1]")
    images, labels = found.images(row)
    assert (surrogate.images(same)[0][:3] == images).all()
    values = __import__("torch").from_numpy(images).permute(0, 3, 1, 2) / 255
    on, exact = found.classifier(row)(values), surrogate.classifier(same)(values)
    assert (on - exact).abs().max() < 1e-5
    assert ((on.argmax(1).numpy() == labels).mean()) == row.clean_accuracy


def test_what_the_text_says_of_circuits(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder / "extend")
    ring = circuits.get("mine:ring", 4)
    assert ring.n_weights == 5
    assert sum(Weight(4) in gate.parameters for gate in ring.gates) == 4
    assert {gate.name for gate in ring.gates} <= circuits.GATES.keys()
    assert all(f"`{name}`" in TEXT for name in circuits.GATES)
    assert devices.get("mine:damped").kind == "noisy"
    for line in re.findall(r"`(pair = .*?|def mine\(b\): .*?)`", TEXT):
        (folder / "extend" / "other.py").write_text(line.replace("def mine(b): ", "def mine(b):\n    ") + "\n")
        code = "from hqc_ray import circuits; print(circuits.get('other:%s').n_weights)" % (
            "pair" if line.startswith("pair") else "mine"
        )
        shown = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder / "extend", check=True
        ).stdout
        assert int(shown) == (3 if line.startswith("pair") else 4)
