"""A device tried before a sweep starts: it gives probabilities, and runs the circuit that models are trained with."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.guard import guarded, wrong
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores import sizes
from hqc_ray.quantum.devices import Device, parity
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.pennylane import DefaultQubit, LightningQubit, PennyLane
from hqc_ray.quantum.ideal.states import states
from hqc_ray.quantum.noise import shipped
from hqc_ray.quantum.noise.shipped import there
from hqc_ray.seeds import stream

if TYPE_CHECKING:
    import torch

    from hqc_ray.quantum.cores import surrogate
    from hqc_ray.quantum.ideal import simulate
else:
    torch, surrogate = later("torch"), later("hqc_ray.quantum.cores.surrogate")
    simulate = later("hqc_ray.quantum.ideal.simulate")


def tried(name: str, device: Device, circuit: Circuit, connect: bool = False) -> None:
    """Try a device on a circuit: some small runs, in milliseconds; of a device that only counts shots no circuit is run.

    Args:
        name: as a sweep file says it.
        device: of that name.
        circuit: of a model.
        connect: to a machine's service, too, and try what is known to pass.

    Raises:
        DeviceError: it cannot run `circuit`, gives no probabilities, or others than the trained layer without its noise; of a
            user's device or a plugin whatever it raises.
    """
    if not connect and not _foreign(name, device) and _foreseen(device, circuit):
        return
    with _guarded(name, device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pennylane\.")  # what it cannot do is an error, of one line
        (device.prepare if connect else device.check)(circuit)
        if device.exactness == "measured":
            return
        twin = device.exact()
        twin.check(circuit)
        if not connect and not _foreign(name, device):
            return  # a sweep runs it before it begins
        if _foreign(name, device):
            _refuse_deaf(name, twin)
            if not isinstance(device.label, str) or not isinstance(twin.facts(circuit), CompiledFacts):
                raise wrong(
                    "device", name, "has a label that is no text, or facts that are no CompiledFacts", DeviceError, type(twin)
                )
            _refuse_turned(name, twin, circuit)
        _refuse_another(twin, circuit)


def _foreseen(device: Device, circuit: Circuit) -> bool:
    """Whether a device of the table is known to pass, so that a plan need not import it: a sweep tries it all the same.

    Of PennyLane's simulators and Aer without noise it is enough that they are installed; of Aer with the noise of a fake backend
    that the machine has the qubits, and that the circuit begins with rotations, which no compiler takes away.
    """
    if isinstance(device, DefaultQubit | LightningQubit):
        return there("pennylane") and there("pennylane_lightning")
    if not isinstance(device, Aer) or not (there("qiskit") and there("qiskit_aer")):
        return False
    plain = Aer(noise=device.noise, noise_scale=min(device.noise_scale, 1.0), shots=device.shots, seed=device.seed)
    if device != plain:
        return False
    return device.noise is None or (circuit.embedding != "own" and shipped.takes(device.noise, circuit.n_qubits))


def fits(name: str, device: Device) -> None:
    """See that the surrogate of a small circuit holds on a user's device or a plugin, before models are trained for it.

    Raises:
        CircuitError: its probabilities are not exact, or no function that a surrogate can be.
    """
    if _foreign(name, device) and device.exactness != "measured":
        with _guarded(name, device):
            surrogate.fit(parity.asymmetric(), parity.inputs()[0], device)


def _foreign(name: str, device: Device) -> bool:
    return ":" in name or isinstance(device, PennyLane)


def _guarded(name: str, device: Device) -> contextlib.AbstractContextManager[None]:
    if not _foreign(name, device):
        return contextlib.nullcontext()
    return guarded("device", name, DeviceError, by=type(device).run)


def _refuse_deaf(name: str, device: Device) -> None:
    """Refuse a device whose probabilities are the same at all angles: no attack could succeed through it."""
    circuit, (weights, angles) = parity.asymmetric(), parity.inputs()
    found = device.checked(device.run(circuit, weights.numpy(), angles.numpy()), circuit, len(angles))
    if np.ptp(found, axis=0).max() < parity.EQUAL:
        raise wrong("device", name, "run gives the same probabilities for all angles", DeviceError, type(device).run)


def _refuse_turned(name: str, device: Device, circuit: Circuit) -> None:
    """Refuse a device that counts its wires, or its outcomes, from the other end, which is more than any noise."""
    weights, angles = _anywhere(circuit)
    found = device.checked(device.run(circuit, weights.numpy(), angles.numpy()), circuit, 1)[0]
    wanted = _trained(circuit, weights, angles)[0]
    turned = {
        "the wires": wanted.reshape([2] * circuit.n_qubits).transpose().reshape(-1), "the outcomes": wanted[::-1]
    }  # fmt: skip
    error = np.abs(found - wanted).max()
    for what, other in turned.items():
        if error > parity.EQUAL and np.abs(found - other).max() < error / 2:
            valid = "probabilities of |00...0>, |00...1>, ..., of which the first digit is wire 0"
            raise wrong("device", name, f"run gives {what} in reverse order", DeviceError, type(device).run, valid)


def _anywhere(circuit: Circuit) -> tuple[torch.Tensor, torch.Tensor]:
    """Random weights [P], and one random angle of each wire [1, Q]."""
    generator = torch.Generator().manual_seed(stream(0, "trial"))
    weights = 6 * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
    return weights, 6 * torch.rand(1, circuit.n_qubits, generator=generator, dtype=torch.float64) - 3


def _refuse_another(device: Device, circuit: Circuit) -> None:
    """Compare the device, without its noise, with the trained layer, at random weights and one random angle of each wire."""
    weights, angles = _anywhere(circuit)
    found = device.without_noise(circuit, weights.numpy(), angles.numpy())
    if found is not None and not (error := np.abs(found - _trained(circuit, weights, angles)).max()) < parity.EQUAL:
        what = f"{device.label} runs another circuit than the one that is trained: a probability differs by {error:.1e}"
        raise DeviceError(what, where=f"circuit {circuit.name!r}", valid=f"differences below {parity.EQUAL}")


def _trained(circuit: Circuit, weights: torch.Tensor, angles: torch.Tensor) -> np.ndarray:
    """Probabilities [1, 2**Q] of the layer that is trained; of many qubits, whose matrices take seconds, of its state vector."""
    if circuit.n_qubits > sizes.LARGE:
        return np.asarray(np.abs(states(circuit, weights.numpy()[None], angles.numpy())) ** 2)
    return simulate.Program(circuit)(weights, angles).numpy()
