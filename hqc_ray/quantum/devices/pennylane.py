"""PennyLane's devices, by QNodes built from the gate list: `default.qubit`, `lightning.qubit`, and any other by its name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from hqc_ray.entries import lookup
from hqc_ray.errors import DeviceError, unknown
from hqc_ray.guard import guarded, wrong
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Parameter, Weight
from hqc_ray.quantum.devices import parity
from hqc_ray.quantum.devices.device import Device

QNode = Callable[[np.ndarray, np.ndarray], Any]
OURS = ("default.qubit", "lightning.qubit", "qiskit.aer")  # names that mean a device of this room
PACKAGES = {  # devices that are not ours -> the package that brings them
    "default.mixed": "pennylane",
    "lightning.kokkos": "pennylane-lightning-kokkos",
    "lightning.gpu": "pennylane-lightning-gpu",
    "cirq.simulator": "pennylane-cirq",
    "cirq.mixedsimulator": "pennylane-cirq",
    "qulacs.simulator": "pennylane-qulacs",
    "braket.local.qubit": "amazon-braket-pennylane-plugin",
}
UNFIT = {  # PennyLane's own that no sweep can run: of modes, of qutrits, of Clifford gates, without probabilities, of nothing
    "default.gaussian", "default.qutrit", "default.qutrit.mixed", "default.clifford", "default.tensor", "null.qubit",
}  # fmt: skip
OPERATIONS = {"H": "Hadamard"}  # our name -> PennyLane's, where they differ


def plugin_names() -> set[str]:
    """The PennyLane devices installed here."""
    return {point.name for point in entry_points(group="pennylane.plugins")}


def fit_names() -> set[str]:
    """Those of `plugin_names` that a sweep may name; the ones of PennyLane-Qiskit have no exact probabilities."""
    return {name for name in plugin_names() - UNFIT if name in OURS or not name.startswith("qiskit.")}


def makes_devices(found: Any) -> bool:
    """Whether something of a user's may give PennyLane's devices: a class of them, or a function."""
    import pennylane as qml

    return issubclass(found, qml.devices.Device | qml.devices.LegacyDevice) if isinstance(found, type) else callable(found)


def _opened(plugin: str, n_qubits: int, options: Mapping[str, Any]) -> Any:
    """The device of a plugin, or of a user's own class or function, which gets the number of wires and the options.

    Raises:
        DeviceError: a user's function gives something else.
    """
    import pennylane as qml

    if ":" not in plugin:
        return qml.device(plugin, wires=n_qubits, **options)
    make = lookup("device", {}, plugin, DeviceError)
    device = make(n_qubits, **options)
    if not isinstance(device, qml.devices.Device | qml.devices.LegacyDevice):
        raise wrong("device", plugin, f"gives {type(device).__name__}", DeviceError, make, valid="a device of PennyLane's")
    return device


def build(circuit: Circuit, plugin: str, **options: Any) -> QNode:
    """The QNode (weights [W], angles [N, Q]) -> probabilities [N, 2**Q] on PennyLane's device `plugin`."""
    import pennylane as qml

    device = _opened(plugin, circuit.n_qubits, options)

    @qml.qnode(device, interface="numpy", diff_method=None)
    def qnode(weights: np.ndarray, angles: np.ndarray) -> Any:
        for gate in circuit.gates:
            operation = getattr(qml, OPERATIONS.get(gate.name, gate.name))
            operation(*(_value(p, weights, angles) for p in gate.parameters), wires=gate.wires)
        return qml.probs(wires=range(circuit.n_qubits))

    return qml.transforms.broadcast_expand(qnode) if ":" in plugin else qnode  # of a user's device nobody knows what it batches


def _value(parameter: Parameter, weights: np.ndarray, angles: np.ndarray) -> Any:
    if isinstance(parameter, Angle):
        return angles[:, parameter.index]
    return parameter.of(weights[parameter.index]) if isinstance(parameter, Weight) else parameter


class _Native(Device):
    """A device of PennyLane's own, exact; shots are samples of the exact probabilities."""

    @classmethod
    def look(cls) -> str:
        """See `Device.look`: whether PennyLane opens it."""
        build(parity.asymmetric(), cls.name)
        return ""

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.run`; the batch is one broadcast execution."""
        return np.asarray(_qnode(circuit, self.name)(weights, angles), dtype=np.float64).reshape(len(angles), -1)


class DefaultQubit(_Native):
    """PennyLane's `default.qubit`: a dense state vector in NumPy."""

    name: ClassVar[str] = "default.qubit"
    title: ClassVar[str] = "PennyLane default.qubit"
    packages: ClassVar[tuple[str, ...]] = ("pennylane",)


class LightningQubit(_Native):
    """PennyLane's `lightning.qubit`: a dense state vector in C++. Pin OMP_NUM_THREADS to the CPUs of the trial."""

    name: ClassVar[str] = "lightning.qubit"
    title: ClassVar[str] = "PennyLane lightning.qubit"
    packages: ClassVar[tuple[str, ...]] = ("pennylane-lightning",)


@functools.lru_cache(maxsize=64)
def _qnode(circuit: Circuit, plugin: str) -> QNode:
    return build(circuit, plugin)


class PennyLane(Device):
    """Any other PennyLane device by its name, or a user's own; shots are the device's own, and so is its randomness.

    Args:
        plugin: the name that `qml.device` knows, e.g. default.mixed, or qiskit.aer for the plugin's own way to Aer; or a user's
            `package.module:name`, a device class of PennyLane's or a function that gets the number of wires and gives a device.
        options: further keywords of `qml.device`, of the class or of the function.
    """

    name: ClassVar[str] = "pennylane"
    title: ClassVar[str] = "PennyLane"
    packages: ClassVar[tuple[str, ...]] = ("pennylane",)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"plugin": "default.mixed"}, {"plugin": "lightning.qubit"})
    plugin: str
    shots: Annotated[int, Field(ge=1, le=1_000_000)] | None = None  # a plugin holds each of them in memory
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """See `Device.label`; PennyLane's own name stands in front."""
        return super().label.replace(self.name, self.plugin if self.plugin not in OURS else f"pennylane:{self.plugin}", 1)

    def _tags(self) -> list[str]:
        return [f"{key}={value}" for key, value in self.options.items()]

    def check(self, circuit: Circuit) -> None:
        """Build the QNode, which opens the device.

        Raises:
            DeviceError: not installed, unknown options, or analytic probabilities of a device that has none.
        """
        self._build(circuit)

    def _build(self, circuit: Circuit) -> QNode:
        import pennylane as qml

        if ":" not in self.plugin and self.plugin not in plugin_names():
            raise unknown("PennyLane device", self.plugin, plugin_names(), DeviceError)
        if self.shots is None and self.plugin.startswith("qiskit."):
            what = f"{self.plugin} of PennyLane-Qiskit turns shots=None into 1,024 shots"
            raise DeviceError(what, valid="our device qiskit.aer; outside of sweeps also shots=N")
        with self._guarded("open"):
            qnode = build(circuit, self.plugin, **self.options)
        return qml.set_shots(qnode, self.shots) if self.shots else qnode

    def _guarded(self, to: str) -> contextlib.AbstractContextManager[None]:
        """Around calls of the plugin: each has exceptions of its own. Those of a user's own say where it stands."""
        own = lookup("device", {}, self.plugin, DeviceError) if ":" in self.plugin else None
        return guarded("PennyLane device", self.plugin, DeviceError, to=to, by=own)

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.run`; opened anew for each call, because the plugins keep settings in their classes."""
        qnode = self._build(circuit)
        with self._guarded("run"):
            return np.asarray(qnode(weights, angles), dtype=np.float64).reshape(len(angles), -1)

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return self.checked(self.run(circuit, weights, angles), circuit, len(angles))
