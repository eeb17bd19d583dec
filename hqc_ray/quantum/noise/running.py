"""What happens to a compiled circuit while it runs, beside the errors after its gates: turns too far, couplings, and waits.

The circuit becomes a longer one, which Aer and the transfer engine read alike: excess turns and controlled phases as labelled
gates, waits as delays, during which a qubit relaxes. `docs/noise.md` says which acts where, and in which order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.base import Noise, positions

LABEL = "coherent"  # of what is added to the gates: nothing keeps an error under this name
FRAMES = ("rz", "p", "u1", "id", "delay", "barrier")  # no pulse: they turn a frame, or nothing, and a coupling passes through
SHORTEST = 1e-15  # seconds; a shorter wait is rounding
TURNS = 2e3 * math.pi  # radians per second of a frequency of 1 kHz

Step = tuple[Any, tuple[int, ...]]  # an operation and its physical qubits
Timed = tuple[float, float, Any, tuple[int, ...]]  # the same after the seconds from the beginning at which it starts and ends


@dataclass(frozen=True)
class Extras:
    """What acts beside the errors after gates, scaled already.

    Args:
        idle: qubits relax while they wait.
        zz: kHz by which the frequency of a qubit moves when a coupled one is flipped.
        excess: radians by which each gate on one qubit, and on two, turns too far.
    """

    idle: bool = False
    zz: float = 0.0
    excess: tuple[float, float] = (0.0, 0.0)

    @property
    def timed(self) -> bool:
        """Whether something depends on when gates run."""
        return self.idle or self.zz != 0

    def __bool__(self) -> bool:
        """Whether anything acts."""
        return self.timed or any(self.excess)


@dataclass(frozen=True, eq=False)
class Running:
    """A compiled circuit as it runs.

    Args:
        gates: the circuit, not measured, with all that acts beside the errors of its gates.
        duration: seconds from the first gate to the end of the readout; None: the circuit was not scheduled.
        idle: seconds that a qubit waits between its first gate and its readout, all waits together; the most of any qubit.
    """

    gates: Any
    duration: float | None = None
    idle: float | None = None


def running(measured: Any, noise: Noise, extras: Extras) -> Running:
    """A transpiled circuit, measured at its end, as it runs.

    Raises:
        DeviceError: a gate without a known duration, a qubit without a known T1 and T2, or a gate that is not in `EXCESS`; each
            where what acts asks for it.
    """
    steps = [(step.operation, positions(measured, step)) for step in measured.data]
    times = (
        schedule(measured, noise, "idle" if extras.idle else "zz_khz") if extras.timed else [(0.0, 0.0, *step) for step in steps]
    )
    waits = _waits(times)
    coupling, gates = _Coupling(steps, noise, extras.zz), measured.copy_empty_like()
    together = [*times, *(waits if extras.idle else ())]
    for start, end, operation, qubits in sorted(together, key=lambda timed: timed[0]):  # a wait acts where it begins
        for pair, angle in coupling.until(start, end, operation.name, qubits):
            gates.append(_library().CPhaseGate(angle, label=LABEL), pair)
        if operation.name == "measure":
            continue
        if excess := extras.excess[len(qubits) - 1] if len(qubits) <= 2 else 0.0:
            _turn(gates, operation, qubits, excess)
        if operation.name == "delay":
            noise.wait(qubits[0], operation.duration)  # refused where it is not known
        gates.append(operation, qubits)
    if not extras.timed:
        return Running(gates)
    return Running(gates, max((end for _, end, *_ in times), default=0.0), max(_sums(waits), default=0.0))


def check(measured: Any, noise: Noise, extras: Extras) -> None:
    """Refuse what cannot act on a transpiled circuit, or never does.

    Raises:
        DeviceError: see `running`; a coherent error that never fires.
    """
    running(measured, noise, extras)
    alone = {"zz_khz": (Extras(zz=extras.zz), "no time passes while two of its qubits are coupled")}
    for arity, part in ((1, (extras.excess[0], 0.0)), (2, (0.0, extras.excess[1]))):
        alone[f"overrotation_{arity}q"] = Extras(excess=part), f"it has no pulse on {arity} qubit{'s' * (arity - 1)}"
    for name, (extra, why) in alone.items():
        if extra and not any(step.operation.label == LABEL for step in running(measured, noise, extra).gates.data):
            what = f"{name} would never fire on {measured.name}: {why}"
            raise DeviceError(what, where=name, valid="leave it out for this circuit")


def schedule(measured: Any, noise: Noise, option: str = "idle") -> list[Timed]:
    """When each instruction runs, as late as possible, in the order of their starts; the first starts at 0. `option` asks for it.

    Raises:
        DeviceError: a gate without a known duration.
    """
    from qiskit import QuantumCircuit
    from qiskit.converters import circuit_to_dag
    from qiskit.transpiler import InstructionDurations
    from qiskit.transpiler.passes import ALAPScheduleAnalysis

    plain = QuantumCircuit(measured.num_qubits, measured.num_clbits)  # the names of registers may not be those of a machine
    for step in measured.data:
        plain.append(step.operation, positions(measured, step), [measured.find_bit(bit).index for bit in step.clbits])
    steps = sorted({(step.operation.name, positions(plain, step)) for step in plain.data if step.name != "barrier"})
    known = {(gate, qubits): _duration(noise, gate, qubits, option) for gate, qubits in steps}
    durations = InstructionDurations([(gate, list(qubits), seconds, "s") for (gate, qubits), seconds in known.items()])
    dag, analysis = circuit_to_dag(plain), ALAPScheduleAnalysis(durations)
    analysis.property_set["time_unit"] = "s"
    analysis.run(dag)
    starts, found = analysis.property_set["node_start_time"], list[Timed]()
    first = min(starts.values(), default=0.0)
    for node in dag.topological_op_nodes():
        qubits, start = tuple(dag.find_bit(qubit).index for qubit in node.qargs), starts[node] - first
        found.append((start, start + known.get((node.name, qubits), 0.0), node.op, qubits))
    return sorted(found, key=lambda timed: timed[0])


def _duration(noise: Noise, gate: str, qubits: tuple[int, ...], option: str) -> float:
    seconds = noise.duration(gate, qubits)
    if seconds is None:
        what = f"the machine does not say how long {gate} on {list(qubits)} takes"
        raise DeviceError(what, where=option, valid="none, or a machine with the durations of its gates and its readout")
    return seconds


def _waits(times: Sequence[Timed]) -> list[Timed]:
    """The waits of each qubit between its first and its last instruction: before, it is |0>, which does not decay."""
    from qiskit.circuit import Delay

    found, free = list[Timed](), dict[int, float]()
    for start, end, _, qubits in times:
        for qubit in qubits:
            since = free.get(qubit, start)
            if start - since > SHORTEST:
                found.append((since, start, Delay(start - since, "s"), (qubit,)))
            free[qubit] = end
    return found


def _sums(waits: Sequence[Timed]) -> list[float]:
    """The seconds that each qubit waits."""
    total = dict[int, float]()
    for start, end, _, (qubit,) in waits:
        total[qubit] = total.get(qubit, 0.0) + end - start
    return list(total.values())


class _Coupling:
    """The phases of |11> of coupled qubits, in pieces: one is due before each pulse or readout on one of the two.

    The time of a pulse on one of two qubits counts after it; the time of a gate on both does not, as it is calibrated with the
    coupling. A qubit takes part from its first pulse on: before, it is |0>.
    """

    def __init__(self, steps: Sequence[Step], noise: Noise, zz: float) -> None:
        met = {tuple(sorted(qubits)) for operation, qubits in steps if len(qubits) == 2 and operation.name != "barrier"}
        coupled = noise.coupled()
        self.pairs = sorted(met if coupled is None else coupled) if zz else []
        self.speed, self.seen, self.since = zz * TURNS, set[int](), dict[tuple[int, ...], float]()

    def until(self, start: float, end: float, name: str, qubits: tuple[int, ...]) -> list[tuple[tuple[int, ...], float]]:
        """The pairs whose phase is due before an instruction, and the phases, radians."""
        if name in FRAMES:
            return []
        self.seen |= set(qubits)
        due = []
        for pair in (pair for pair in self.pairs if set(pair) & set(qubits) and set(pair) <= self.seen):
            if (time := start - self.since.get(pair, start)) > SHORTEST:
                due.append((pair, -self.speed * time))
            both = set(pair) <= set(qubits)
            self.since[pair] = math.inf if name == "measure" else end if both else start
        return due


def _turn(gates: Any, operation: Any, qubits: tuple[int, ...], excess: float) -> None:
    """Add what makes the gate that follows turn too far, about its own axis.

    Raises:
        DeviceError: a gate whose axis is not known here.
    """
    if operation.name in FRAMES:
        return
    if operation.name not in EXCESS:
        where = f"overrotation_{len(qubits)}q"
        raise DeviceError(f"the axis of the gate {operation.name} is not known", where=where, valid=", ".join(EXCESS))
    gates.append(EXCESS[operation.name](excess, operation.params), qubits)


def _library() -> Any:
    import qiskit.circuit.library as library

    return library


def _about_x(excess: float, _: Sequence[Any]) -> Any:
    return _library().RXGate(excess, label=LABEL)


def _about_zx(excess: float, _: Sequence[Any]) -> Any:
    return _library().RZXGate(excess, label=LABEL)


def _about_xx(excess: float, _: Sequence[Any]) -> Any:
    return _library().RXXGate(excess, label=LABEL)


def _about_zz(excess: float, _: Sequence[Any]) -> Any:
    return _library().RZZGate(excess, label=LABEL)


def _between_frames(excess: float, angles: Sequence[Any]) -> Any:
    """U(theta, phi, lambda) = Rz(phi) Ry(theta) Rz(lambda): the pulse turns about y, after the frame lambda."""
    return _library().UGate(excess, -angles[-1], angles[-1], label=LABEL)


# by Qiskit's names: what is to come before a gate so that it turns by `excess` more; each commutes with the rest of its gate
EXCESS: dict[str, Callable[[float, Sequence[Any]], Any]] = {
    "sx": _about_x,
    "x": _about_x,
    "rx": _about_x,
    "sxdg": lambda excess, _: _about_x(-excess, _),
    "ry": lambda excess, _: _library().RYGate(excess, label=LABEL),
    "r": lambda excess, angles: _library().RGate(excess, angles[1], label=LABEL),
    "u2": _between_frames,
    "u3": _between_frames,
    "u": _between_frames,
    "cx": _about_zx,  # cx and ecr turn by pi / 2 about ZX, cz about ZZ, beside turns of one qubit
    "ecr": _about_zx,
    "rzx": _about_zx,
    "cz": _about_zz,
    "rzz": _about_zz,
    "rxx": _about_xx,
}
