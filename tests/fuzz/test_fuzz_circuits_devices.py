"""Users' circuits, heads and devices that misbehave, and devices that cannot run a sweep: one line from `hqc plan`."""

import importlib
import re
import sys

import pytest

from tests.fuzz.promise import refused

CIRCUITS = """
import sys, numpy as np, torch
from hqc_ray.quantum.circuits.ir import Angle, Gate, Weight
RNG = np.random.default_rng(0)

class Mute(Exception):
    def __str__(self): raise RuntimeError

class Alone(BaseException): pass

def raises(b): raise KeyError("oops")
def lines(b): raise ValueError("line one\\nline two\\r\\x1b[31m")
def long(b): raise RuntimeError("x" * 5000)
def mute(b): raise Mute
def alone(b): raise Alone
def exits(b): sys.exit(0)
def deep(b): deep(b)
def stop(b): raise StopIteration
def closed(b): raise GeneratorExit
def broken(b): raise BrokenPipeError
def keyboard(b): raise KeyboardInterrupt
def memory(b): b.gates = [0] * 10**18
def badgate(b): b.gate("NOPE", 99)
def unknown(b): b.add("CRY", 0, 1)
def keyword(b): b.add("RX", wires=0)
def listed(b): b.add("CNOT", [0, 1])
def named(b): b.add("RX", "a")
def off(b): b.add("CNOT", 0, 7)
def same(b): b.add("CNOT", 0, 0)
def nothing(b): pass
def constant(b): b.gates.append(Gate("RX", (0,), (0.5,)))
def generator(b): yield b.every("RX")
def pennylane(inputs, weights): pass
def noarg(): pass
def phases(b): b.every("RZ")
def infinite(b): b.every("RY"); b.gates.append(Gate("RX", (0,), (float("inf"),)))
def tensor(b): b.every("RY"); b.gates.append(Gate("RX", (0,), (torch.ones(()),)))
def text(b): b.every("RY"); b.gates.append("RX")
def none(b): b.gates = None
def gap(b): b.gates.append(Gate("RX", (0,), (Weight(3),))); b.n_weights = 1
def negative(b): b.every("RY"); b.n_weights = -1
def cleared(b): b.gates.clear(); b.every("RY")
def reversed_embedding(b): b.gates.reverse(); b.every("RY")
def random_gates(b):
    for _ in range(20): b.add(str(RNG.choice(["RX", "RY", "RZ"])), 0)
def grows(b, seen=[]):
    seen.append(0)
    for _ in seen: b.every("RY")
number = 5
async def later(b): b.every("RY")
class Class:
    def __call__(self, b): b.every("RY")
"""
HEADS = """
import sys, torch
from torch import nn
from hqc_ray import circuits
from hqc_ray.models.functions import Direct
from hqc_ray.models.head import Bottleneck, Dense, Head, linear
from hqc_ray.models.heads import HeadEntry
from hqc_ray.models.levels import BOTTLENECK
from hqc_ray.quantum.ideal.layer import CircuitLayer

class Good(HeadEntry):
    def build(self, f, k, g): return Dense(f, k, linear(f, k, g))

def made(build, **facts): return type("Made", (HeadEntry,), {"build": build, "__module__": __name__, **facts})
def dense(layer): return made(lambda self, f, k, g: Dense(f, k, layer(f, k, g)))

class Layer(nn.Module):
    def __init__(self, f, k, g, then):
        super().__init__()
        self.linear, self.then = linear(f, k, g), then
    def forward(self, x): return self.then(self.linear(x))

def then(function): return dense(lambda f, k, g: Layer(f, k, g, function))

class Abstract(HeadEntry): pass
class Raises(HeadEntry):
    def build(self, f, k, g): raise ValueError("no\\nhead")
class Exits(HeadEntry):
    def build(self, f, k, g): sys.exit(4)
class Validates(HeadEntry):
    def model_post_init(self, _): raise RuntimeError("boom")
class Width(Good):
    @property
    def width(self): raise KeyError("width")
class Clash(Good):
    head: int = 3
none = made(lambda self, f, k, g: None)
pair = made(lambda self, f, k, g: (Dense(f, k, linear(f, k, g)), 1))
module = made(lambda self, f, k, g: linear(f, k, g))
unseeded = dense(lambda f, k, g: nn.Linear(f, k))
nan_weights = dense(lambda f, k, g: linear(f, k, g).apply(lambda m: nn.init.constant_(m.weight, float("nan"))))
no_weights = dense(lambda f, k, g: nn.AdaptiveAvgPool1d(k))
too_many = dense(lambda f, k, g: linear(f, k + 1, g))
gives_none = then(lambda y: None)
gives_dict = then(lambda y: {"logits": y})
gives_nan = then(lambda y: y * float("nan"))
gives_labels = then(lambda y: y.argmax(1))
detached = then(lambda y: y.detach())
draws = then(lambda y: y + torch.rand(()))
fails = then(lambda y: y @ y)
levels = made(Good.build, levels=BOTTLENECK)
unsaid = made(Good.build, kind="circuit")
other = made(Good.build, circuit=lambda self: circuits.get("vqc1"), kind="circuit")
text = made(Good.build, circuit=lambda self: "vqc1", kind="circuit")
"""
DEVICES = """
import sys, numpy as np, torch
from hqc_ray import devices
from hqc_ray.entries import Entry
from hqc_ray.quantum.devices import Device

def true(c, w, a): return devices.get("default.qubit").run(c, w, a)
def made(run): return type("Made", (Device,), {"run": lambda self, c, w, a: run(c, w, a), "__module__": __name__})
def raising(problem): raise problem

class NoRun(Device): pass
class JustEntry(Entry): pass
class Raises(Device):
    def run(self, c, w, a): raise ConnectionError("no\\nlicence")
class Exits(Device):
    def run(self, c, w, a): sys.exit(0)
class CheckRaises(Device):
    def run(self, c, w, a): return true(c, w, a)
    def check(self, c): raise RuntimeError("line 1\\nline 2")
class LabelRaises(Device):
    def run(self, c, w, a): return true(c, w, a)
    @property
    def label(self): raise KeyError("label")
class FactsNone(Device):
    def run(self, c, w, a): return true(c, w, a)
    def facts(self, c): return None
class ExactNone(Device):
    def run(self, c, w, a): return true(c, w, a)
    def exact(self): return None
none = made(lambda c, w, a: None)
pair = made(lambda c, w, a: (true(c, w, a), 0))
mapping = made(lambda c, w, a: {"p": true(c, w, a)})
listed = made(lambda c, w, a: true(c, w, a).tolist())
tensor = made(lambda c, w, a: torch.from_numpy(true(c, w, a)))
single = made(lambda c, w, a: true(c, w, a).astype(np.float32))
complexes = made(lambda c, w, a: true(c, w, a) + 0j)
expectations = made(lambda c, w, a: np.zeros((len(a), c.n_qubits)))
one = made(lambda c, w, a: true(c, w, a)[:1])
wider = made(lambda c, w, a: np.repeat(true(c, w, a), 2, 1) / 2)
nan = made(lambda c, w, a: true(c, w, a) * np.nan)
negative = made(lambda c, w, a: 2 * true(c, w, a) - 2.0 ** -c.n_qubits)
unnormed = made(lambda c, w, a: true(c, w, a) * 2)
deaf = made(lambda c, w, a: np.full((len(a), 2 ** c.n_qubits), 2.0 ** -c.n_qubits))
rounded = made(lambda c, w, a: true(c, w, a).astype(np.float32).astype(np.float64))
trembles = made(lambda c, w, a: 0.99 * true(c, w, a) + 0.01 * np.random.default_rng().dirichlet(np.ones(2 ** c.n_qubits), len(a)))
bends = made(lambda c, w, a: (true(c, w, a) + 0.1) ** 2 / ((true(c, w, a) + 0.1) ** 2).sum(1, keepdims=True))
def turn(p, q): return p.reshape(-1, *[2] * q).transpose(0, *range(q, 0, -1)).reshape(len(p), -1)
wires = made(lambda c, w, a: turn(true(c, w, a), c.n_qubits))
outcomes = made(lambda c, w, a: 0.9 * true(c, w, a)[:, ::-1] + 0.1 / 2 ** c.n_qubits)
three_only = made(lambda c, w, a: true(c, w, a) if c.n_qubits == 3 else raising(ValueError("3 qubits only")))
turned = made(lambda c, w, a: true(c, w, a) if c.n_qubits == 3 else true(c, w, a)[:, ::-1].copy())
"""
SWEEP = """
name: x
defaults:
  data: {{source: synthetic, size: 40, images: 60}}
  model: {{backbone: cnn1, image_size: 32, head: {head}{options}}}
  train: {{epochs: 2{train}}}
  evaluate: {{images: 10{evaluate}}}
  attack: {{name: clean}}
  device: {{{device}}}
blocks: [{{seed: 0}}]
"""


def text(head="vqc1", options=", n_qubits: 2", device="name: default.qubit", train="", evaluate=""):
    return SWEEP.format(head=f"'{head}'", options=options, device=device, train=train, evaluate=evaluate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fuzz")
    for name, code in (("fuzz_circuits", CIRCUITS), ("fuzz_heads", HEADS), ("fuzz_devices", DEVICES)):
        (made / f"{name}.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(made))
        patch.setattr(sys, "dont_write_bytecode", True)
        importlib.invalidate_caches()
        yield made


def said(folder, sweep):
    (folder / "x.yaml").write_text(sweep)
    return refused(folder, "plan", folder / "x.yaml")


def names(code, *but):
    found = [line.split("(")[0].split(":")[0].split(" =")[0] for line in code.splitlines() if line[:1] not in (" ", "")]
    own = (name.removeprefix("async ").removeprefix("def ").removeprefix("class ") for name in found)
    skipped = {"made", "dense", "then", "raising", "turn", "true", "Good", "Layer", "Mute", "Alone", "RNG", *but}
    return [name for name in own if name.isidentifier() and name not in skipped]


@pytest.mark.parametrize("name", names(CIRCUITS))
def test_circuits(folder, name):
    line = said(folder, text(f"fuzz_circuits:{name}"))
    assert f"fuzz_circuits:{name}" in line
    assert name in ("number", "Class", "phases") or "fuzz_circuits.py, line " in line


@pytest.mark.parametrize("name", ["raises", "nothing", "random_gates", "cleared", "exits"])
def test_circuits_that_are_looked_at(folder, name):
    assert "fuzz_circuits.py, line " in refused(folder, "circuits", f"fuzz_circuits:{name}")
    assert "fuzz_circuits.py, line " in refused(folder, "circuits", f"fuzz_circuits:{name}", "--draw", "-")


@pytest.mark.parametrize("name", names(HEADS))
def test_heads(folder, name):
    line = said(folder, text(f"fuzz_heads:{name}", options=""))
    assert f"fuzz_heads:{name}" in line
    assert name in ("Abstract", "Clash") or "fuzz_heads.py, line " in line


@pytest.mark.parametrize("name", names(DEVICES))
def test_devices(folder, name):
    line = said(folder, text(device=f"name: 'fuzz_devices:{name}'"))
    assert name in line or name == "bends"
    assert name in ("rounded", "trembles", "bends", "turned", "ExactNone") or "fuzz_devices.py, line " in line


@pytest.mark.parametrize("name", ["Raises", "none", "nan"])
def test_devices_that_train(folder, name):
    assert "train.device" in said(folder, text(train=f", device: {{name: 'fuzz_devices:{name}'}}"))


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            text(options=", n_qubits: 11"),
            r"blocks\[0\]\.model: .*n_qubits=11.* 362797056 coefficients \(2.7 GiB\) \(valid: up to 134217728, 10 qubits",
        ),
        (text(options=", n_qubits: 12"), "up to 134217728, 10 qubits"),
        (text(options=", n_qubits: 9, reuploads: 2"), "8 qubits where each angle enters 2 times"),
        (text(device="name: default.gaussian"), "Gate RX not supported"),
        (text(device="name: default.qutrit"), "default.qutrit"),
        (text(device="name: 'null.qubit'"), "the same probabilities for all angles"),
        (text(device="name: default.mixed, options: {readout_prob: 0.1}"), "default.mixed"),
        (text(device="name: lightning.qubit, shots: 1180591620717411303424"), "less than or equal to 1000000000"),
        (text(device="name: qiskit.basicsim, shots: 1000"), "turns shots=None into 1,024 shots"),
        (
            text(device="name: pennylane, plugin: lightning.qubit, options: {c_dtype: complex64}"),
            "complex64|misses its surrogate",
        ),
        (text("fuzz_circuits:cleared", options=", embedding: own"), "dead"),
    ],
)
def test_what_a_sweep_cannot_run(folder, sweep, message):
    pytest.importorskip("pennylane_qiskit")
    assert re.search(message, said(folder, sweep)), said(folder, sweep)
