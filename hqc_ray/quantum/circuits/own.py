"""A user's own circuit, in any of three forms: a function that fills a `Builder`, a PennyLane function, or a list of gates."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from hqc_ray.errors import CircuitError, shown
from hqc_ray.quantum.circuits.ansatze import Ansatz
from hqc_ray.quantum.circuits.ir import Builder, Gate, Weight
from hqc_ray.quantum.circuits.tracing import shape_meant, shifted, traced

FORMS = "a function f(weights, wires) of PennyLane's gates, a list of gates, or a function that adds gates to its Builder"


def ansatz(name: str, found: Any) -> Ansatz:
    """What a user's `package.module:name` imports to, as an entry of the table of circuits.

    Raises:
        CircuitError: it is of no form that a circuit has.
    """
    if isinstance(found, list | tuple):
        return Ansatz(
            functools.partial(_listed, name, found), n_qubits=max(2, 1 + max((_highest(gate) for gate in found), default=0))
        )
    if not callable(found):
        raise CircuitError(f"circuit {name!r} is not a function", valid=FORMS)
    return Ansatz(_filling(found), valid=shape_meant) if _required(found) == 2 else Ansatz(found)


def _required(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given by position."""
    try:
        taken = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return 1
    return sum(one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in taken)


def _filling(function: Callable[..., Any]) -> Callable[[Builder], None]:
    @functools.wraps(function)
    def fill(builder: Builder) -> None:
        _add(traced(function, builder.n_qubits)[0], builder)

    return fill


def _listed(name: str, gates: Sequence[Any], builder: Builder) -> None:
    try:
        _add(gates, builder)
    except CircuitError as problem:
        raise CircuitError(problem.what, where=f"circuit {name!r}", valid=problem.valid) from problem


def _add(gates: Sequence[Any], builder: Builder) -> None:
    """Gates as they are, their weights counted from where the builder is; of a mere name with its wires, with fresh weights."""
    first = builder.n_weights
    for gate in gates:
        if isinstance(gate, Gate):
            builder.gates.append(shifted(gate, first))
            indices = [p.index for p in builder.gates[-1].parameters if isinstance(p, Weight)]
            builder.n_weights = max([builder.n_weights, *(index + 1 for index in indices)])
        elif isinstance(gate, list | tuple) and gate:
            builder.add(*gate)
        else:
            raise CircuitError(
                f"{shown(gate)} among the gates", valid='("RY", 0), ("CNOT", 0, 1), or Gate(name, wires, parameters)'
            )


def _highest(gate: Any) -> int:
    wires = gate.wires if isinstance(gate, Gate) else gate[1:] if isinstance(gate, list | tuple) else ()
    return max((wire for wire in wires if isinstance(wire, int)), default=0)
