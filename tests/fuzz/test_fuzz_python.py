"""Users' PennyLane functions, gate lists and devices that are none: one line from `hqc plan` and `hqc circuits`."""

import importlib
import sys

import pytest

from tests.fuzz.promise import refused

MODULE = """
import numpy as np
import pennylane as qml

def raises(weights, wires): raise KeyError("oops")
def noargs(): qml.RY(0.1, wires=0)
def three(weights, wires, inputs): qml.RY(weights[0], wires=0)
def empty(weights, wires): pass
def constant(weights, wires): qml.RY(0.3, wires=0)
def infinite(weights, wires): qml.RY(weights[0], wires=0); qml.RX(np.inf, wires=0)
def undefined(weights, wires): qml.RY(weights[0], wires=0); qml.RX(np.nan, wires=0)
def overflows(weights, wires): qml.RY(1e308 * 10 * weights[0], wires=0)
def tiny(weights, wires): qml.RY(1e-300 * weights[0], wires=0)
def draws(weights, wires): qml.RY(weights[int(np.random.default_rng().integers(1000))], wires=0)
def noise(weights, wires): qml.RY(weights[0] + np.random.default_rng().normal(), wires=0)
def matrix(weights, wires): qml.RY(weights[0], wires=0); qml.QubitUnitary(np.ones((2, 2)), wires=0)
def text(weights, wires): qml.RY("a", wires=0)
def wire(weights, wires): qml.RY(weights[0], wires=99)
def strings(weights, wires): qml.RY(weights[0], wires="q")
def forever(weights, wires): forever(weights, wires)
def exits(weights, wires): raise SystemExit(0)
def qutrit(weights, wires): qml.RY(weights[0], wires=0); qml.TRX(weights[0], wires=0)
def counts(weights, wires): qml.RY(weights[0], wires=0); qml.cond(qml.measure(0), qml.RX)(weights[1], wires=1)
def shaped(weights, wires): qml.RY(weights[0], wires=0)
shaped.shape = "big"
def huge(weights, wires): qml.RY(weights[0, 0], wires=0)
huge.shape = (10**6, 10**6)
def wrongshape(weights, wires): qml.RY(weights[0, 0], wires=0)
wrongshape.shape = lambda n: 1 / 0
qnode = qml.QNode(shaped, qml.device("default.qubit", wires=4))
listed = [("RY", 0), ("NOPE", 1)]
nested = [[("RY", 0)]]
numbers = [1, 2]
wide = [("RY", 40)]
negative = [("RY", -1), ("RY", 0)]
alone = [()]
none = None

class NoDevice: pass
class Broken(qml.devices.Device):
    def execute(self, circuits, execution_config=None): raise OSError("fridge is warm")
class Wrong(qml.devices.Device):
    def execute(self, circuits, execution_config=None): return tuple(np.zeros(3) for _ in circuits)
class Deaf(qml.devices.Device):
    def execute(self, circuits, execution_config=None): return tuple(np.eye(2 ** len(c.wires))[0] for c in circuits)
def fewer(n): return qml.device("default.qubit", wires=n - 1)
def gaussian(n): return qml.device("default.gaussian", wires=n)
def nothing(n): return None
def noway(): return qml.device("default.qubit", wires=4)
def late(n): raise TimeoutError("no queue")
"""
CIRCUITS = {
    "raises": "KeyError: 'oops'", "noargs": "takes 0 positional", "three": "missing 2 required", "empty": "no gate with a weight",
    "constant": "no gate with a weight", "infinite": "finite radians", "undefined": "finite radians",
    "overflows": "finite radians",
    "tiny": "no gate with a weight", "draws": "", "noise": "neither constant",
    "matrix": "not unitary", "text": "", "wire": "RY on wire 99",
    "strings": "RY on wire 'q'", "forever": "RecursionError", "exits": "SystemExit", "qutrit": "TRX is no gate",
    "counts": "is no gate of a circuit", "shaped": "has the shape 'big'",
    "huge": "has the shape", "wrongshape": "ZeroDivisionError",
    "qnode": "is a QNode", "listed": "unknown gate 'NOPE'", "nested": "", "numbers": "1 among the gates",
    "wide": "41", "negative": "RY on wires (-1,)", "alone": "() among the gates",
    "none": "is not a function", "missing": "AttributeError",
}  # fmt: skip
DEVICES = {
    "NoDevice": "is not a subclass of hqc_ray.quantum.devices.Device", "Broken": "OSError: fridge is warm", "Wrong": "device",
    "Deaf": "the same probabilities for all angles", "fewer": "", "gaussian": "not supported on device default.gaussian",
    "nothing": "gives NoneType", "noway": "takes 0 positional", "late": "TimeoutError: no queue",
}  # fmt: skip
FILE = """
name: own
blocks:
  - data: {{source: synthetic, size: 40}}
    model: {{backbone: squeezenet1_1, weights: random, image_size: 32, head: "{head}"}}
    attack: {{name: clean}}
    device: {{name: "{device}"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own")
    (made / "fuzz_python.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.syspath_prepend(str(made))
        importlib.import_module("fuzz_python")
        yield made
        del sys.modules["fuzz_python"]


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_that_is_none(folder, name):
    (folder / "own.yaml").write_text(FILE.format(head=f"fuzz_python:{name}", device="default.qubit"))
    line = refused(folder, "plan", folder / "own.yaml")
    assert CIRCUITS[name] in line
    assert f"fuzz_python:{name}" in line
    assert CIRCUITS[name] in refused(folder, "circuits", f"fuzz_python:{name}")


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_that_is_none(folder, name):
    (folder / "own.yaml").write_text(FILE.format(head="vqc1", device=f"fuzz_python:{name}"))
    line = refused(folder, "plan", folder / "own.yaml")
    assert DEVICES[name] in line
    assert f"fuzz_python:{name}" in line or "own.yaml" in line


@pytest.mark.parametrize("device", ["default.gaussian", "default.qutrit", "default.clifford", "null.qubit", "default.tensor"])
def test_plugins_that_run_no_circuit_of_qubits(folder, device):
    (folder / "own.yaml").write_text(FILE.format(head="vqc1", device=device))
    assert device in refused(folder, "plan", folder / "own.yaml")
