"""A machine as a table and a picture: its qubits, its errors, how old they are, and where a circuit runs best."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hqc_ray.quantum import devices
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import layouts
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.noise import machines, snapshots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 7  # qubits of a chain that is shown
LARGE = 40  # qubits of a machine whose numbers are written small
INK, CHOSEN, DEAD = "#222222", "#D55E00", "#d0d0d0"


@dataclass(frozen=True)
class Qubit:
    """A qubit in numbers; None where they are not known.

    Args:
        number: which one.
        t1: microseconds.
        t2: microseconds.
        readout: probability that a bit is read wrongly, the mean of both.
        single: the largest error of its gates on one qubit.
        double: the least error of its gates on two.
        age: days from its oldest number to the day of the calibration.
    """

    number: int
    t1: float | None
    t2: float | None
    readout: float | None
    single: float | None
    double: float | None
    age: float | None

    @property
    def works(self) -> bool:
        """Whether it can be measured."""
        return self.readout is not None


@dataclass(frozen=True)
class Machine:
    """A machine in numbers.

    Args:
        name: canonical, see `machines.canonical`.
        qubits: all of them.
        couplings: the least error of the gates on each two coupled qubits (a < b).
        places: column and row of each qubit in a picture.
    """

    name: str
    qubits: tuple[Qubit, ...]
    couplings: dict[tuple[int, int], float]
    places: tuple[tuple[float, float], ...]


def look(name: str) -> Machine:
    """The machine called `name`, as `noise` takes it.

    Raises:
        DeviceError: no such machine, or one without a number of qubits.
    """
    canonical = machines.canonical(name)
    noise = machines.machine(canonical)
    target = noise.backend.target
    errors = dict(_errors(noise))
    couplings: dict[tuple[int, int], float] = {}
    for qubits, error in ((on, e) for (_, on), e in errors.items() if len(on) == 2):
        pair = min(qubits), max(qubits)
        couplings[pair] = min(error, couplings.get(pair, 1.0))
    lives = target.qubit_properties or [None] * target.num_qubits
    known = snapshots.get(canonical) if snapshots.NAME.fullmatch(canonical) else None
    ages = snapshots.ages(known) if known else [None] * target.num_qubits
    rows = tuple(_qubit(number, noise, lives[number], errors, ages[number]) for number in range(target.num_qubits))
    given = [qubit.at for qubit in known.qubits] if known else [None] * target.num_qubits
    return Machine(canonical, rows, couplings, tuple(_places(given, couplings)))


def chains(machine: Machine) -> Iterator[tuple[int, tuple[int, ...], float]]:
    """The best chain of n qubits and its expected error, for each n: a gate on each two neighbours, and the readout of all."""
    noise = machines.machine(machine.name)
    on_two = sorted({gate for gate, on in dict(_errors(noise)) if len(on) == 2})
    for n in range(2, LONGEST + 1) if on_two else ():
        found = [best for gate in on_two if (best := layouts.best(layouts.Uses.chain(n, gate), noise))]
        if found:
            qubits, error = min(found, key=lambda one: one[1])
            yield n, tuple(qubits), error


def placed(machine: Machine, circuit: Circuit) -> dict[str, CompiledFacts]:
    """What the machine makes of a circuit where Qiskit puts it, and where it fails least: by `layout`.

    Raises:
        DeviceError: the machine cannot run it.
    """
    made = {layout: devices.get("qiskit.aer", noise=machine.name, layout=layout) for layout in ("qiskit", "best")}
    return {layout: device.facts(circuit) for layout, device in made.items()}


def summary(machine: Machine) -> list[tuple[str, str, str, str]]:
    """Name, best, median and worst of what is known of the machine's qubits and couplings."""
    columns = {
        "T1, µs": [-q.t1 for q in machine.qubits if q.t1], "T2, µs": [-q.t2 for q in machine.qubits if q.t2],
        "readout error": [q.readout for q in machine.qubits if q.readout is not None],
        "error of a gate on one qubit": [q.single for q in machine.qubits if q.single is not None],
        "error of a gate on two": list(machine.couplings.values()),
    }  # fmt: skip
    spread = {name: (min(all), statistics.median(all), max(all)) for name, all in columns.items() if all}
    return [(name, *(number(abs(value), name) for value in values)) for name, values in spread.items()]  # type: ignore[misc]


def number(value: float | None, name: str = "") -> str:
    """A time in microseconds, or a probability in per cent."""
    if value is None:
        return ""
    return f"{value:.0f}" if "µs" in name else f"{100 * value:.2f} %"


def figure(machine: Machine, chosen: Sequence[int] = ()) -> Figure:
    """The coupling map, coloured by error: lines by that of the gate, dots by that of the readout; `chosen` qubits are ringed."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    columns, rows = ([at[i] for at in machine.places] for i in (0, 1))
    wide, high = max(columns) - min(columns), max(rows) - min(rows)
    unit = 0.62 if len(machine.qubits) > LARGE else 1.1
    made = Canvas(figsize=(max(5.0, unit * wide + 2.6), max(2.6, unit * high + 1.8)), layout="constrained", dpi=150)
    axes = made.subplots()
    colours = mpl.colormaps["viridis_r"]
    gates = _norm(list(machine.couplings.values()))
    readouts = _norm([q.readout for q in machine.qubits if q.readout is not None])
    for (a, b), error in machine.couplings.items():
        ends = zip(machine.places[a], machine.places[b], strict=True)
        axes.plot(*(list(end) for end in ends), color=colours(gates(error)), linewidth=5, solid_capstyle="butt", zorder=1)
    _dots(axes, machine, [DEAD if q.readout is None else colours(readouts(q.readout)) for q in machine.qubits], chosen)
    for norm, label in ((gates, "error of the gate on two qubits (lines)"), (readouts, "error of the readout (dots)")):
        bar = made.colorbar(mpl.cm.ScalarMappable(norm, colours), ax=axes, fraction=0.03, pad=0.01, format=_per_cent)
        bar.set_label(label)
    axes.set_title(machine.name + (f"\nringed: {', '.join(map(str, chosen))}" if chosen else ""), color=INK)
    axes.set_aspect("equal")
    axes.margins(0.06)
    axes.axis("off")
    return made


def _dots(axes: Axes, machine: Machine, colours: list[Any], chosen: Sequence[int]) -> None:
    small = len(machine.qubits) > LARGE
    rings = [(CHOSEN, 3.0) if qubit.number in chosen else (INK, 0.5) for qubit in machine.qubits]
    x, y = zip(*machine.places, strict=True)
    axes.scatter(
        x, y, s=190 if small else 420, c=colours,
        edgecolors=[ring for ring, _ in rings], linewidths=[width for _, width in rings], zorder=2,
    )  # fmt: skip
    for qubit, at, colour in zip(machine.qubits, machine.places, colours, strict=True):
        ink = INK if colour == DEAD or sum(colour[:3]) > 1.4 else "white"
        axes.text(*at, str(qubit.number), ha="center", va="center", fontsize=6.5 if small else 10, color=ink, zorder=3)


def _norm(values: Sequence[float]) -> Any:
    """Errors on a scale of logarithms, as they spread over decades; what is 0, or all the same, has a scale as well."""
    from matplotlib.colors import LogNorm

    above = [value for value in values if value > 0] or [1e-3]
    low, high = min(above), max(above)
    return LogNorm(low, high if high > 1.05 * low else 1.05 * low, clip=True)


def _per_cent(value: float, position: int | None = None) -> str:
    return f"{100 * value:.3g} %"


def _errors(noise: machines.Calibrated) -> Iterator[tuple[tuple[str, tuple[int, ...]], float]]:
    """The error of each gate that the machine's target lists on one or two qubits."""
    target = noise.backend.target
    for gate in target.operation_names:
        if gate not in ("measure", "reset", "delay", "barrier", "id"):
            for qubits in _listed(target, gate):
                error = noise.infidelity(gate, qubits) if len(qubits) <= 2 else None
                if error is not None:
                    yield (gate, qubits), error


def _listed(target: Any, gate: str) -> Iterable[tuple[int, ...]]:
    """Where a target has a gate: one that it lists without qubits, on any; of two, (a, b) with a < b."""
    listed = target[gate] or {None: None}
    if None not in listed:
        return listed
    size = snapshots.known_gates()[gate].num_qubits if gate in snapshots.known_gates() else 0
    return itertools.combinations(range(target.num_qubits), size) if size else ()


def _qubit(
    number: int, noise: machines.Calibrated, life: Any, errors: dict[tuple[str, tuple[int, ...]], float], age: Any
) -> Qubit:
    times = [getattr(life, name, None) for name in ("t1", "t2")]
    t1, t2 = (None if time is None else 1e6 * time for time in times)
    single = [error for (_, on), error in errors.items() if on == (number,)]
    double = [error for (_, on), error in errors.items() if len(on) == 2 and number in on]
    readout = noise.infidelity("measure", (number,))
    return Qubit(number, t1, t2, readout, max(single, default=None), min(double, default=None), age)


def _places(given: Sequence[tuple[float, float] | None], couplings: dict[tuple[int, int], float]) -> list[tuple[float, float]]:
    """Where the qubits stand: where the machine says, with the first row on top; else where springs of equal length hold them."""
    if all(at is not None for at in given):
        return [(at[0], -at[1]) for at in given if at is not None]
    import rustworkx

    graph = rustworkx.PyGraph()
    graph.add_nodes_from(range(len(given)))
    graph.add_edges_from([(a, b, 1.0) for a, b in couplings])
    side = math.sqrt(len(given))
    found = rustworkx.spring_layout(graph, k=1 / side, num_iter=500, seed=0)
    return [(side * float(found[i][0]), side * float(found[i][1])) for i in range(len(given))]
