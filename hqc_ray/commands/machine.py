"""`hqc devices MACHINE` and `hqc devices --snapshot`: a machine looked at, and its calibration as a file."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray import files
from hqc_ray.commands import OK, print_json, print_table, print_text
from hqc_ray.errors import InputError, shown
from hqc_ray.guard import said

if TYPE_CHECKING:
    from hqc_ray.quantum.study.machine import Machine

FIGURES = (".png", ".pdf", ".svg")
HEAD = ("qubit", "T1, µs", "T2, µs", "readout error", "1-qubit gates", "2-qubit gate", "oldest, days")


def add(devices: argparse.ArgumentParser, count: Any) -> None:
    """Add the options of a machine to `hqc devices`; `count` is the type of a number of qubits."""
    devices.add_argument(
        "machine", nargs="?", metavar="MACHINE",
        help="show a machine, as `noise` takes it: torino.json, fake_torino, package.module:callable (default: list the devices)",
    )  # fmt: skip
    devices.add_argument("--circuit", metavar="NAME", help="where this circuit runs best on it, such as vqc1")
    devices.add_argument("--qubits", type=count, metavar="N", help="of the circuit (default: as it is drawn)")
    devices.add_argument("--draw", metavar="FILE", help="draw its coupling map, coloured by error: FILE.png, .pdf or .svg")
    devices.add_argument("--snapshot", metavar="NAME", help="save the calibration of a machine of IBM's, such as ibm_torino")
    devices.add_argument(
        "--date", type=_day, metavar="YYYY-MM-DD", help="the last one up to the end of that day, UTC (default: now)"
    )
    devices.add_argument("-o", "--output", metavar="FILE", help="where to (default: NAME.json)")


def asked(arguments: argparse.Namespace) -> bool:
    """Whether the options are about a machine.

    Raises:
        InputError: some of them, but no machine; or both ways of asking at once.
    """
    of_snapshot = [name for name in ("date", "output") if getattr(arguments, name) is not None]
    of_machine = [name for name in ("circuit", "draw") if getattr(arguments, name) is not None]
    if arguments.snapshot is None and of_snapshot:
        raise InputError("of no machine", where=f"--{of_snapshot[0]}", valid="hqc devices --snapshot ibm_torino -o torino.json")
    if arguments.machine is None and of_machine:
        raise InputError("of no machine", where=f"--{of_machine[0]}", valid=f"hqc devices torino.json --{of_machine[0]} ...")
    if arguments.qubits is not None and arguments.circuit is None:
        raise InputError("of no circuit", where="--qubits", valid="hqc devices torino.json --circuit vqc1 --qubits 4")
    if arguments.snapshot is not None and (arguments.machine is not None or arguments.check):
        raise InputError(
            "beside something else", where="--snapshot", valid="hqc devices --snapshot ibm_torino, and then its file"
        )
    if arguments.machine is not None and arguments.check:
        raise InputError("of a single machine", where="--check", valid="hqc devices --check")
    return arguments.snapshot is not None or arguments.machine is not None


def run(arguments: argparse.Namespace) -> int:
    """Save a machine's calibration, or show a machine."""
    return _save(arguments) if arguments.snapshot is not None else _show(arguments)


def _save(arguments: argparse.Namespace) -> int:
    from hqc_ray.quantum.devices.ibm import service

    path = Path(arguments.output or f"{arguments.snapshot}.json")
    if path.suffix != ".json" or path.is_dir():
        raise InputError(
            f"cannot write to {shown(str(path))}", where="--output", valid="a file that ends in .json, as `noise` wants"
        )
    day = arguments.date
    found = service.calibration(arguments.snapshot, None if day is None else day + timedelta(days=1) - timedelta(seconds=1))
    files.write(path, found.text.encode() + b"\n")
    if arguments.json:
        print_json({"file": path, "name": found.name, "date": found.date.isoformat(), "qubits": len(found.qubits)})
    else:
        print(f"{path}: {found.name}, {len(found.qubits)} qubits, calibrated {found.date:%Y-%m-%d %H:%M} UTC")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    from hqc_ray.quantum import circuits
    from hqc_ray.quantum.study import machine as study

    if arguments.draw is not None and Path(arguments.draw).suffix not in FIGURES:
        raise InputError(f"cannot draw to {shown(arguments.draw)}", where="--draw", valid=f"a file {', '.join(FIGURES)}")
    circuit = circuits.get(arguments.circuit, arguments.qubits) if arguments.circuit is not None else None
    found = study.look(arguments.machine)
    chains = list(study.chains(found))
    placed = study.placed(found, circuit) if circuit is not None else {}
    ringed = placed["best"].layout if placed else next((qubits for n, qubits, _ in chains if n == 4), ())
    if arguments.draw is not None:
        _draw(study.figure(found, ringed or ()), arguments.draw)
    if arguments.json:
        couplings = [{"on": list(pair), "error": error} for pair, error in found.couplings.items()]
        best = [{"qubits": list(qubits), "expected_error": error} for _, qubits, error in chains]
        print_json(
            {"name": found.name, "qubits": found.qubits, "couplings": couplings, "chains": best, "circuit": placed or None}
        )
        return OK
    _tables(found)
    print()
    for n, qubits, lost in chains:
        print_text(f"best chain of {n}: {' - '.join(map(str, qubits))}, expected error {study.number(lost)}")
    for layout, facts in placed.items():
        where = f"{arguments.circuit} on {facts.qubits} qubits, layout: {layout}: {', '.join(map(str, facts.layout or ()))}"
        error = study.number(facts.expected_error)
        print_text(f"{where}; {facts.two_qubit_gates} 2-qubit gates, depth {facts.depth}, expected error {error}")
    if arguments.draw is not None:
        print(arguments.draw)
    return OK


def _tables(found: Machine) -> None:
    from hqc_ray.quantum.study.machine import number, summary

    lines = [
        [str(q.number), number(q.t1, "µs"), number(q.t2, "µs"), number(q.readout), number(q.single), number(q.double),
         "" if q.age is None else f"{q.age:.1f}"]
        for q in found.qubits
    ]  # fmt: skip
    print_table(HEAD, lines, right=range(len(HEAD)), title=found.name)
    print()
    print_table(("", "best", "median", "worst"), [list(line) for line in summary(found)], right=(1, 2, 3))


def _draw(figure: Any, target: str) -> None:
    try:
        figure.savefig(target)
    except OSError as problem:
        raise InputError(f"cannot write {shown(target)}: {problem.strerror}", where="--draw") from problem
    except ValueError as problem:  # Matplotlib cannot: a kind of file that it does not know, numbers that no axis holds
        raise InputError(
            f"cannot draw {shown(target)}: {said(problem)}", where="--draw", valid="a .png, .svg or .pdf"
        ) from problem


def _day(text: str) -> datetime:
    """The type of `--date`: the beginning of a day that has begun, UTC."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a day, such as 2026-11-01") from problem
    if day > datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{shown(text)} has not come yet")
    return day
