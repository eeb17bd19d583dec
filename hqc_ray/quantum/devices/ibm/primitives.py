"""The two ways in which IBM's runtime reads a circuit: the Sampler counts outcomes, the Estimator gives expectations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hqc_ray.quantum.devices.ibm import service as ibm_service
from hqc_ray.quantum.devices.ibm.programs import Programs, Pub
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.base import require
from hqc_ray.quantum.noise.mitigation import EXTRAPOLATED, Mitigation


class Primitive(Protocol):
    """What submits circuits, and reads what comes back."""

    def request(self, made: Programs, pubs: Sequence[Pub], shots: int, options: dict[str, Any], fake: str) -> Callable[[], Any]:
        """What submits a job when it is called, and returns it.

        Args:
            made: the circuits, and their machine.
            pubs: which of them.
            shots: of each circuit.
            options: of the runtime; `simulator` among them where `fake`.
            fake: the name of a backend that runs on this computer; empty: a machine.
        """

    def read(self, data: Any, n_qubits: int) -> np.ndarray:
        """What came back for a PUB of n circuits on Q wires, [n, ...]."""


class Sampler:
    """Counts [n, 2**Q] of outcomes."""

    def request(self, made: Programs, pubs: Sequence[Pub], shots: int, options: dict[str, Any], fake: str) -> Callable[[], Any]:
        """See `Primitive`."""
        if fake:
            options["simulator"]["noise_model"] = _noise(fake, made, pubs)
        sampler = ibm_service.require().SamplerV2(mode=made.machine, options=options)
        asked = [made.of(pub) for pub in pubs]
        return lambda: sampler.run(asked, shots=shots)

    def read(self, data: Any, n_qubits: int) -> np.ndarray:
        """See `Primitive`: bit i of the register is wire i; wire 0 is the leftmost bit. Without angles n is 1."""
        bits = data.outcome.to_bool_array(order="little")  # [n, shots, Q]
        bits = bits.reshape(-1, *bits.shape[-2:])
        places = 2 ** np.arange(n_qubits)[::-1]
        return np.stack([np.bincount(shots @ places, minlength=2**n_qubits) for shots in bits])


@dataclass(frozen=True)
class Estimator:
    """<Z> of every wire and its standard errors, [n, 2, Q], mitigated by the runtime.

    Args:
        level: of resilience: 0, 1 or 2.
    """

    level: int

    def request(self, made: Programs, pubs: Sequence[Pub], shots: int, options: dict[str, Any], fake: str) -> Callable[[], Any]:
        """See `Primitive`. The local testing mode warns that it applies no resilience, which docs/qpu.md says."""
        options |= {"resilience_level": self.level, "default_shots": shots}
        if self.level == 2:  # the runtime's default, of which a plan counts the circuits
            options["resilience"] = {"zne": {"noise_factors": EXTRAPOLATED}}
        machine = made.machine
        if fake:
            machine = require("qiskit_aer", "qiskit-aer").AerSimulator(noise_model=_noise(fake, made, pubs))
        estimator = ibm_service.require().EstimatorV2(mode=machine, options=options)
        asked = [made.estimated(pub) for pub in pubs]

        def submit() -> Any:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*no effect in local testing mode")
                return estimator.run(asked)

        return submit

    def read(self, data: Any, n_qubits: int) -> np.ndarray:
        """See `Primitive`."""
        return np.stack([np.asarray(part, dtype=np.float64).reshape(-1, n_qubits) for part in (data.evs, data.stds)], 1)


def of(mitigation: Mitigation | None) -> Primitive:
    """The one that mitigates so."""
    level = mitigation.resilience_level if mitigation else None
    return Sampler() if level is None else Estimator(level)


def _noise(name: str, made: Programs, pubs: Sequence[Pub]) -> Any:
    """The noise that qiskit.aer has for a fake backend, of these gates only; the local testing mode has other readout errors."""
    machine = machines.machine(name)
    model = machine.model(made.gates(pubs))
    for qubit in made.compiled.layout:
        if (matrix := machine.assignment(qubit)) is not None:
            model.add_readout_error(matrix, [qubit])
    return model
