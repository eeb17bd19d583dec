"""The catalogue of circuits: what each one can do, and what a real machine makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.quantum import devices
from hqc_ray.quantum.circuits import described
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.study import analysis
from hqc_ray.quantum.study.analysis import Estimate


@dataclass(frozen=True)
class Row:
    """One circuit of the catalogue.

    Args:
        circuit: which one.
        expressibility: KL divergence to Haar in nats, see `analysis.expressibility`.
        reported: the value printed in arXiv 2309.06377; the circuits as drawn do not reproduce it, so never rank by it.
        entangling: mean Meyer-Wallach Q, see `analysis.entangling_capability`.
        dead_weights: weights that move no output.
        dead_inputs: inputs that move no output.
        compiled: by backend; None where the backend has too few qubits.
    """

    circuit: Circuit
    expressibility: Estimate
    reported: float | None
    entangling: Estimate
    dead_weights: tuple[int, ...]
    dead_inputs: tuple[int, ...]
    compiled: Mapping[str, CompiledFacts | None] = field(default_factory=dict)


def row(
    circuit: Circuit, backends: Iterable[str] = (), pairs: int = analysis.PAIRS, seed: int = 0, embedded: bool = False
) -> Row:
    """Analyse a circuit: 0.3 s at 4 qubits, plus the compilation for each of `backends` (names of fake backends).

    Args:
        circuit: which one.
        backends: as `fake_manila`.
        pairs: of states whose fidelity enters the expressibility; twice as many states give the entangling capability.
        seed: of the samples.
        embedded: sample the inputs, too, instead of leaving the embedding out.

    Raises:
        CircuitError: too few pairs for an interval.
        DeviceError: an unknown backend, or a package that is not installed.
    """
    if pairs < 10:
        raise CircuitError(f"{pairs} pairs of states", valid="10 or more; 5000 is usual")
    machines = {name: machine(name) for name in backends}
    return Row(
        circuit,
        analysis.expressibility(circuit, pairs, seed=seed, embedded=embedded),
        described(circuit.name).reported_expressibility,
        analysis.entangling_capability(circuit, 2 * pairs, seed=seed, embedded=embedded),
        tuple(analysis.dead_weights(circuit)),
        tuple(analysis.dead_inputs(circuit)),
        {name: compiled(circuit, device) for name, device in machines.items()},
    )


def machine(backend: str) -> devices.Device:
    """The device that stands for a fake backend.

    Raises:
        DeviceError: an unknown name, or a package that is not installed.
    """
    return devices.get("qiskit.aer", noise=backend)


def compiled(circuit: Circuit, device: devices.Device) -> CompiledFacts | None:
    """What the device's compiler makes of `circuit`; None where it has too few qubits."""
    try:
        device.check(circuit)
    except DeviceError:
        return None
    return device.facts(circuit)
