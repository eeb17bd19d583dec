"""A machine's calibration of one day as a file of JSON, which is used offline: its form, its name, and the target it makes.

A snapshot's name, as `ibm_torino@2026-11-01-1a2b3c4d`, says the machine, the day, and a digest of all numbers. In rows and keys
it stands for the file, which may lie anywhere; a process that has not read the file is given its content.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import stat
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from hqc_ray.entries import Options, explain
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.base import require
from hqc_ray.spec import expand

MAX_BYTES = 32 * 2**20
MAX_QUBITS = 10_000
SUFFIX = ".json"
NAME = re.compile(r"[A-Za-z][\w-]{0,60}@\d{4}-\d\d-\d\d-[0-9a-f]{8}")
WANTED = "a file that hqc devices --snapshot wrote"

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Duration = Annotated[float, Field(ge=0, le=1e12)]
Index = Annotated[int, Field(ge=0, lt=MAX_QUBITS)]
_at_hand: dict[str, Snapshot] = {}


Place = Annotated[float, Field(ge=-1000, le=1000)]


class Qubit(Options):
    """What was measured of a qubit; None where it is not known.

    Args:
        t1_us: relaxation time, microseconds.
        t2_us: dephasing time, microseconds; what exceeds 2 T1 counts as 2 T1.
        readout_01: probability that a 0 is read as 1.
        readout_10: probability that a 1 is read as 0.
        readout_ns: duration of a measurement, nanoseconds.
        works: whether it can be used at all.
        date: of the oldest of these numbers.
        at: column and row in a picture of the machine.
    """

    t1_us: Positive | None = None
    t2_us: Positive | None = None
    readout_01: Share | None = None
    readout_10: Share | None = None
    readout_ns: Duration | None = None
    works: bool = True
    date: AwareDatetime | None = None
    at: tuple[Place, Place] | None = None


class Gate(Options):
    """What was measured of a gate on some qubits.

    Args:
        on: the qubits, in the gate's order.
        error: one minus its average fidelity.
        ns: its duration, nanoseconds.
        date: of the oldest of these numbers.
    """

    on: Annotated[tuple[Index, ...], Field(min_length=1, max_length=2)]
    error: Share | None = None
    ns: Duration | None = None
    date: AwareDatetime | None = None


class Snapshot(Options):
    """A machine's calibration.

    Args:
        calibration: version of this form.
        machine: its name.
        date: when it was calibrated last.
        dt_ns: resolution of durations, nanoseconds.
        qubits: by their numbers.
        gates: by Qiskit's names; a gate acts where it is listed, and nowhere else.
    """

    calibration: Literal[1]
    machine: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]{0,60}$")]
    date: AwareDatetime
    dt_ns: Positive | None = None
    qubits: Annotated[tuple[Qubit, ...], Field(min_length=1, max_length=MAX_QUBITS)]
    gates: Annotated[dict[str, tuple[Gate, ...]], Field(min_length=1)]

    @field_validator("gates")
    @classmethod
    def _known(cls, gates: dict[str, tuple[Gate, ...]]) -> dict[str, tuple[Gate, ...]]:
        standard = known_gates()
        for name, places in gates.items():
            if name not in standard:
                raise ValueError(f"{name!r} is none of Qiskit's gates on one or two qubits")
            if any(len(place.on) != standard[name].num_qubits for place in places):
                raise ValueError(f"{name!r} acts on {standard[name].num_qubits} qubits")
            if len({place.on for place in places}) < len(places):
                raise ValueError(f"{name!r} stands twice on the same qubits")
        return gates

    @model_validator(mode="after")
    def _on_its_qubits(self) -> Snapshot:
        for name, places in self.gates.items():
            for place in places:
                if max(place.on) >= len(self.qubits) or len(set(place.on)) < len(place.on):
                    raise ValueError(f"{name!r} on {list(place.on)}, of {len(self.qubits)} qubits")
        return self

    @property
    def text(self) -> str:
        """The content of its file: what is not known is left out."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), sort_keys=True, allow_nan=False)

    @functools.cached_property
    def name(self) -> str:
        """How rows and keys call it: see the module."""
        return f"{self.machine}@{self.date.date().isoformat()}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"

    def target(self) -> Any:
        """Qiskit's target: the same numbers, in seconds."""
        from qiskit.circuit import Delay, Measure, Parameter
        from qiskit.transpiler import InstructionProperties, QubitProperties, Target

        lives = [QubitProperties(t1=_seconds(q.t1_us, 1e-6), t2=_seconds(q.t2_us, 1e-6)) for q in self.qubits]
        target = Target(num_qubits=len(lives), dt=_seconds(self.dt_ns, 1e-9), qubit_properties=lives)
        working = [number for number, qubit in enumerate(self.qubits) if qubit.works]
        for name, places in self.gates.items():
            usable = (place for place in places if set(place.on) <= set(working))
            made = {place.on: InstructionProperties(_seconds(place.ns, 1e-9), place.error) for place in usable}
            if made:  # Qiskit would take a gate without a place for one on any qubits, without errors
                target.add_instruction(known_gates()[name], made, name=name)
        target.add_instruction(Measure(), {(number,): _readout(self.qubits[number]) for number in working})
        target.add_instruction(Delay(Parameter("t")), {(number,): None for number in working})
        return target


def read(path: str) -> str:
    """The name of the snapshot in a file, which is at hand from now on; ${NAME} is replaced.

    Raises:
        DeviceError: no file that can be read, or no snapshot.
    """
    file = Path(expand(path, "noise"))
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise DeviceError(f"{path!r} is no file", where="noise", valid=WANTED)
        if facts.st_size > MAX_BYTES:
            raise DeviceError(f"{path!r} is too large for a snapshot", where="noise", valid=f"up to {MAX_BYTES // 2**20} MiB")
        return _read(file, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError) as problem:  # a null byte in a path
        what = f"cannot read {path!r}: {getattr(problem, 'strerror', None) or problem}"
        raise DeviceError(what, where="noise", valid=WANTED) from problem


@functools.lru_cache(maxsize=64)
def _read(file: Path, changed: int, size: int) -> str:
    """Once for each state of a file."""
    return give(file.read_bytes(), file.name)


def give(content: bytes | str, where: str = "") -> str:
    """The name of the snapshot in the content of a file, which is at hand from now on.

    Raises:
        DeviceError: no snapshot; it says in which file (`where`).
    """
    try:
        found = Snapshot(**_mapping(json.loads(content, parse_constant=_no_number, object_pairs_hook=_no_twins)))
    except ValidationError as problem:
        what, inner, valid = explain(problem, Snapshot)
        raise DeviceError(f"no snapshot: {inner + ': ' if inner else ''}{what}", where=where, valid=valid or WANTED) from problem
    except (ValueError, RecursionError) as problem:
        what = f"no snapshot: not JSON: {problem}" if isinstance(problem, json.JSONDecodeError) else f"no snapshot: {problem}"
        raise DeviceError(what, where=where, valid=WANTED) from problem
    _at_hand[found.name] = found
    return found.name


def known(name: str) -> bool:
    """Whether the snapshot of this name is at hand."""
    return name in _at_hand


def get(name: str) -> Snapshot:
    """The snapshot of this name.

    Raises:
        DeviceError: nobody has read its file in this process.
    """
    if not known(name):
        what = f"the calibration {name} is not at hand"
        raise DeviceError(what, where="noise", valid="its file, such as torino.json, in place of the name")
    return _at_hand[name]


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("its JSON is no object")
    return content


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return made


def _seconds(number: float | None, unit: float) -> float | None:
    return None if number is None else number * unit


@functools.cache
def known_gates() -> dict[str, Any]:
    """Qiskit's gates on one and two qubits, by their names."""
    from qiskit.circuit import Gate as QiskitGate
    from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping

    require("qiskit", "qiskit")
    known = get_standard_gate_name_mapping().items()
    return {name: gate for name, gate in known if isinstance(gate, QiskitGate) and 1 <= gate.num_qubits <= 2}


def _readout(qubit: Qubit) -> Any:
    """Properties of a measurement as IBM's own targets have them: Aer reads `prob_meas1_prep0` and `prob_meas0_prep1`."""
    known = [p for p in (qubit.readout_01, qubit.readout_10) if p is not None]
    made = _measured()(_seconds(qubit.readout_ns, 1e-9), sum(known) / len(known) if known else None)
    if len(known) == 2:
        made.prob_meas1_prep0, made.prob_meas0_prep1 = known
    return made


@functools.cache
def _measured() -> type:
    from qiskit.transpiler import InstructionProperties

    class Measured(InstructionProperties):
        """Takes further attributes."""

    return Measured


def ages(snapshot: Snapshot) -> list[float | None]:
    """Days from the oldest number of each qubit, its gates included, to the snapshot's date; None where no date is known."""
    oldest: list[datetime | None] = [qubit.date for qubit in snapshot.qubits]
    for place in (place for places in snapshot.gates.values() for place in places if place.date):
        for qubit in place.on:
            oldest[qubit] = min(filter(None, (oldest[qubit], place.date)))
    return [None if date is None else (snapshot.date - date).total_seconds() / 86_400 for date in oldest]
