"""What a surrogate takes: circuits to fit it, and memory."""

from __future__ import annotations

from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits.ir import Circuit

MAX_ENTRIES = 2**27  # coefficients (1 GiB): 10 qubits
LARGE = 8  # qubits, from which on a check of a noisy circuit takes Aer up to 15 seconds


def n_circuits(circuit: Circuit, measured: bool) -> int:
    """How many circuits the fit of `circuit` takes on a device, exact or measured, its check included."""
    return int((2 * circuit.degree + 1) ** circuit.n_qubits) + n_checks(circuit.n_qubits, measured)


def n_checks(n_qubits: int, measured: bool) -> int:
    """The number of random angles at which a fit is compared with its device; an exact one is refuted by any single angle."""
    return 16 if measured or n_qubits < LARGE else 4


def refuse_large(circuit: Circuit, runs: int = 1) -> None:
    """Refuse a circuit whose surrogate does not fit into memory; of a device that runs each circuit several times, all tables.

    Raises:
        CircuitError: too many qubits, or uploads of each angle, for a grid.
    """
    tables = 1 if runs == 1 else runs + 1
    entries = tables * (2 * circuit.degree + 1) ** circuit.n_qubits * 2**circuit.n_qubits
    if entries > MAX_ENTRIES:
        per_qubit = 2 * (2 * circuit.degree + 1)
        most = max(q for q in range(1, 30) if tables * per_qubit**q <= MAX_ENTRIES)
        what = f"a surrogate of {circuit!r} has {entries} coefficients ({entries / 2**27:,.1f} GiB)"
        valid = f"up to {MAX_ENTRIES}, {most} qubits where each angle enters {circuit.degree} times; else mode: native"
        raise CircuitError(what, valid=valid)
