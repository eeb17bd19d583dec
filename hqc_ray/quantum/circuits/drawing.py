"""Circuits as pictures: in text for a terminal, and by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hqc_ray.quantum.circuits.ir import READOUTS, Angle, Circuit, Gate, Parameter, Weight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUARTERS = {-math.pi / 2: "-π/2", math.pi / 2: "π/2"}  # turns, as they are written
COLUMNS = 22  # of a figure, before it goes on below
INPUT, WEIGHTED, PLAIN, INK = "#f6c99a", "#bfd7ee", "#e9e9e9", "#222222"
CAPTION = "orange: inputs x, blue: weights w, grey: fixed; "


def columns(circuit: Circuit) -> list[list[Gate]]:
    """The gates that stand above each other, each as far left as the wires it covers allow."""
    placed: list[list[Gate]] = []
    free = [0] * circuit.n_qubits
    for gate in circuit.gates:
        covered = range(min(gate.wires), max(gate.wires) + 1)
        at = max(free[wire] for wire in covered)
        if at == len(placed):
            placed.append([])
        placed[at].append(gate)
        for wire in covered:
            free[wire] = at + 1
    return placed


def title(circuit: Circuit) -> str:
    """What a circuit is, in one line."""
    counts = [f"{circuit.n_qubits} qubits", f"{circuit.n_weights} weights", f"embedding {circuit.embedding}"]
    counts += [f"{n} {what}" for n, what in ((circuit.layers, "layers"), (circuit.reuploads, "uploads")) if n > 1]
    counts += [f"readout {circuit.readout}"] if circuit.readout != "z" else []
    return f"{circuit.name}: {', '.join(counts)}"


def caption(circuit: Circuit) -> str:
    """What the colours mean, and what is read."""
    turn = READOUTS[circuit.readout]
    if turn is None:
        return f"{CAPTION}<Z> of every wire is read"
    return f"{CAPTION}{turn[0]}({_name(turn[1])}) and <Z> at the end of every wire read <{circuit.readout.upper()}>"


def text(circuit: Circuit, width: int = 120) -> str:
    """The circuit in characters, folded to lines of `width`."""
    indent = len(str(circuit.n_qubits - 1))
    start = [f"{at // 2:>{indent}}: ─" if at % 2 == 0 else " " * (indent + 3) for at in range(2 * circuit.n_qubits - 1)]
    parts = [start]
    for block in (_column(gates, circuit.n_qubits) for gates in columns(circuit)):
        if len(parts[-1][0]) + len(block[0]) + len("<Z>") > width and parts[-1] != start:
            parts.append(start)
        parts[-1] = [line + piece for line, piece in zip(parts[-1], block, strict=True)]
    parts[-1] = [line + ("<Z>" if at % 2 == 0 else "") for at, line in enumerate(parts[-1])]
    return "\n\n".join([title(circuit), *("\n".join(line.rstrip() for line in part) for part in parts)])


def _column(gates: list[Gate], n_qubits: int) -> list[str]:
    """2 Q - 1 lines of equal length: the wires, and between them where vertical strokes stand."""
    labels, strokes = dict(_marks(gates)), {wire for gate in gates for wire in range(min(gate.wires), max(gate.wires))}
    crossed = {wire for gate in gates for wire in range(min(gate.wires) + 1, max(gate.wires))}
    width = max(len(label) for label in labels.values())
    lines = []
    for wire in range(n_qubits):
        lines.append(labels.get(wire, "┼" if wire in crossed else "─").center(width, "─") + "─")
        lines.append(("│" if wire in strokes else " ").center(width) + " ")
    return lines[:-1]


def _marks(gates: list[Gate]) -> Iterator[tuple[int, str]]:
    """What stands on each wire of a column: a dot for a control, and for the target the gate with its parameters."""
    for gate in gates:
        *controls, target = gate.wires
        yield from ((wire, "●") for wire in controls)
        yield target, f"{_symbol(gate)}({','.join(map(_name, gate.parameters))})" if gate.parameters else _symbol(gate)


def _symbol(gate: Gate) -> str:
    if gate.name in ("CNOT", "CZ"):
        return {"CNOT": "⊕", "CZ": "●"}[gate.name]
    return gate.name.removeprefix("C")


def _name(parameter: Parameter) -> str:
    if isinstance(parameter, Angle):
        return f"x{parameter.index}"
    if isinstance(parameter, Weight):
        scale = {1.0: "", -1.0: "-"}.get(parameter.scale, f"{parameter.scale:.3g}")
        return f"{scale}w{parameter.index}{_number(parameter.offset, '+') if parameter.offset else ''}"
    return _number(parameter)


def _number(value: float, sign: str = "") -> str:
    """Radians in few digits; `sign` as of a format."""
    text = QUARTERS.get(value, f"{value:.3g}")
    return text if text.startswith("-") else sign + text


def figure(circuit: Circuit) -> Figure:
    """The circuit as a matplotlib figure, folded after `COLUMNS` columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    placed = columns(circuit)
    rows = [placed[start : start + COLUMNS] for start in range(0, len(placed), COLUMNS)]
    wide = max(max(len(row) for row in rows) + 2.2, 0.17 * len(title(circuit)), 0.13 * len(caption(circuit)))  # in columns
    pitch = circuit.n_qubits + 0.9
    made = Figure(figsize=(0.6 * wide, 0.6 * (pitch * len(rows) + 0.9)), dpi=150)
    FigureCanvasAgg(made)
    axes = made.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(-1.2, wide - 1.2), ylim=(-pitch * len(rows), 0.9))
    axes.set_axis_off()
    axes.text(-1.0, 0.62, title(circuit), fontsize=11, weight="bold", color=INK, va="center")
    axes.text(-1.0, 0.62 - pitch * len(rows) - 0.2, caption(circuit), fontsize=7, color=INK, va="center")
    for number, row in enumerate(rows):
        _draw_row(axes, row, -pitch * number - 0.4, circuit.n_qubits, last=number == len(rows) - 1)
    return made


def _draw_row(axes: Axes, row: list[list[Gate]], top: float, n_qubits: int, last: bool) -> None:
    for wire in range(n_qubits):
        axes.plot([-0.6, len(row) - 0.4], [top - wire] * 2, color=INK, linewidth=0.8, zorder=0)
        axes.text(-0.7, top - wire, str(wire), fontsize=9, color=INK, ha="right", va="center")
        if last:
            axes.text(len(row) - 0.35, top - wire, r"$\langle Z\rangle$", fontsize=9, color=INK, va="center")
    for x, gates in enumerate(row):
        for gate in gates:
            _draw_gate(axes, gate, x, top)


def _draw_gate(axes: Axes, gate: Gate, x: int, top: float) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    *controls, target = (top - wire for wire in gate.wires)
    for y in controls:
        axes.plot([x, x], [y, target], color=INK, linewidth=0.9, zorder=1)
        axes.plot([x], [y], "o", color=INK, markersize=5, zorder=2)
    if gate.name == "CZ":
        axes.plot([x], [target], "o", color=INK, markersize=5, zorder=2)
    elif gate.name == "CNOT":
        axes.add_patch(Circle((x, target), 0.2, facecolor="white", edgecolor=INK, linewidth=0.9, zorder=2))
        axes.plot([x - 0.2, x + 0.2], [target, target], color=INK, linewidth=0.9, zorder=3)
        axes.plot([x, x], [target - 0.2, target + 0.2], color=INK, linewidth=0.9, zorder=3)
    else:
        box = FancyBboxPatch((x - 0.38, target - 0.36), 0.76, 0.72, boxstyle="round,pad=0,rounding_size=0.08")
        box.set(facecolor=_colour(gate), edgecolor=INK, linewidth=0.8, zorder=2)
        axes.add_patch(box)
        lines = [{"PhaseShift": "P"}.get(_symbol(gate), _symbol(gate)), _range(gate.parameters)]
        axes.text(x, target, "\n".join(filter(None, lines)), fontsize=7, color=INK, ha="center", va="center", zorder=4)


def _range(parameters: tuple[Parameter, ...]) -> str:
    """The parameters in few characters: w3-5 for three weights."""
    indices = [p.index for p in parameters if isinstance(p, Weight) and p.plain]
    if len(indices) == len(parameters) > 1 and indices == list(range(indices[0], indices[0] + len(indices))):
        return f"w{indices[0]}-{indices[-1]}"
    return ",".join(map(_name, parameters))


def _colour(gate: Gate) -> str:
    if any(isinstance(p, Angle) for p in gate.parameters):
        return INPUT
    return WEIGHTED if any(isinstance(p, Weight) for p in gate.parameters) else PLAIN
