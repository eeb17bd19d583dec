"""Taking a snapshot: what a machine of IBM's says of its qubits and gates, on this day or an earlier one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from hqc_ray.entries import explain
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.snapshots import Snapshot, known_gates

MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}
Numbers = dict[str, Any]


def taken(backend: Any, properties: Any, name: str) -> Snapshot:
    """The snapshot of a machine.

    Args:
        backend: a backend of qiskit-ibm-runtime: its target says which gates there are, and in which resolution of time.
        properties: its BackendProperties of the day; gates and qubits that did not work then are left out.
        name: of the machine.

    Raises:
        DeviceError: nothing is calibrated, or numbers that no machine has.
    """
    if properties is None:
        raise DeviceError(
            f"{name} has no calibration", where="--snapshot", valid="a machine of qubits, and a day on which it ran"
        )
    plain = properties.to_dict()
    gates = [gate for gate in plain["gates"] if gate["gate"] in backend.target.operation_names and gate["gate"] in known_gates()]
    places = _places(backend, len(plain["qubits"]))
    try:
        return Snapshot.model_validate(
            {
                "calibration": 1, "machine": name, "date": _date(plain["last_update_date"]),
                "dt_ns": backend.dt and backend.dt * 1e9,
                "qubits": [_qubit(measured, at) for measured, at in zip(plain["qubits"], places, strict=True)],
                "gates": _gates(gates),
            }
        )  # fmt: skip
    except ValidationError as problem:
        what, where, valid = explain(problem, Snapshot)
        raise DeviceError(f"{name}: {where + ': ' if where else ''}{what}", where="--snapshot", valid=valid) from problem


def _qubit(measured: Iterable[Mapping[str, Any]], at: Any) -> Numbers:
    known = {item["name"]: item for item in measured}
    return {
        "t1_us": _time(known.get("T1")), "t2_us": _time(known.get("T2")), **_readout(known),
        "readout_ns": _time(known.get("readout_length"), 1e3), "works": _works(known), "date": _oldest(known.values()), "at": at,
    }  # fmt: skip


def _readout(known: Mapping[str, Any]) -> Numbers:
    both = _value(known.get("readout_error"))
    up, down = (_value(known.get(name), both) for name in ("prob_meas1_prep0", "prob_meas0_prep1"))
    return {"readout_01": up, "readout_10": down}


def _gates(gates: Iterable[Mapping[str, Any]]) -> dict[str, list[Numbers]]:
    made: dict[str, list[Numbers]] = {}
    for gate in gates:
        known = {item["name"]: item for item in gate["parameters"]}
        if _works(known):
            error, time = _value(known.get("gate_error")), _time(known.get("gate_length"), 1e3)
            place = {"on": gate["qubits"], "error": None if error is None else min(error, 1.0), "ns": time}
            made.setdefault(gate["gate"], []).append({**place, "date": _oldest(known.values())})
    return made


def _value(item: Mapping[str, Any] | None, otherwise: float | None = None) -> float | None:
    value = otherwise if item is None else item["value"]
    return None if value is None or not math.isfinite(value) else float(value)


def _time(item: Mapping[str, Any] | None, per_microsecond: float = 1.0) -> float | None:
    value = _value(item)
    return None if item is None or value is None else value * MICROSECONDS[item["unit"]] * per_microsecond


def _works(known: Mapping[str, Any]) -> bool:
    return bool(_value(known.get("operational"), 1.0))


def _oldest(items: Iterable[Mapping[str, Any]]) -> datetime | None:
    return min(map(_date, _dates(items)), default=None)


def _dates(items: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    return (item["date"] for item in items if item.get("date") is not None)


def _date(value: Any) -> datetime:
    """UTC; IBM's own are local times, or texts."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _places(backend: Any, n_qubits: int) -> list[Any]:
    """Where qubits stand in a picture, as the machine says; None of each where it does not."""
    configuration = getattr(backend, "configuration", None)
    coordinates = getattr(configuration() if callable(configuration) else None, "coords", None)
    return [tuple(at) for at in coordinates] if coordinates and len(coordinates) == n_qubits else [None] * n_qubits
