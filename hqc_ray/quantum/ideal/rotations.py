"""Gates as Pauli rotations."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hqc_ray.quantum.circuits.ir import Gate, Parameter

Rotation = tuple[str, Parameter]  # axis X, Y or Z, and its parameter
PAULI = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}


def rotations(gate: Gate) -> Iterator[Rotation]:
    """The Pauli rotations that `gate` makes on its last wire, in the order they act; equal up to a global phase."""
    p = gate.parameters
    match gate.name:
        case "H":
            yield from (("Z", math.pi), ("Y", math.pi / 2))
        case "U1" | "PhaseShift":
            yield ("Z", p[0])
        case "U2":
            yield from (("Z", p[1]), ("Y", math.pi / 2), ("Z", p[0]))
        case "U3":
            yield from (("Z", p[2]), ("Y", p[0]), ("Z", p[1]))
        case _:
            yield (gate.name[-1], p[0])
