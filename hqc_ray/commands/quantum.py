"""`hqc circuits` and `hqc devices`: what there is, what it can do, and whether it works here."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from hqc_ray.commands import COUNT, FAILED, OK, console
from hqc_ray.errors import DeviceError, InputError

if TYPE_CHECKING:
    from hqc_ray.quantum.circuits import Circuit
    from hqc_ray.quantum.devices.facts import CompiledFacts
    from hqc_ray.quantum.study.catalogue import Row

WIDE = 180  # of a table in a file or a pipe
FIGURES = (".png", ".pdf", ".svg")


def add(commands: Any) -> None:
    """Add both commands to the parser."""
    circuits = commands.add_parser("circuits", help="list the circuits and what they can do, or draw one")
    circuits.add_argument("names", nargs="*", metavar="NAME", help="such as vqc1, or package.module:function (default: all)")
    circuits.add_argument("--qubits", type=COUNT, help="number of qubits (default: as each circuit is drawn)")
    circuits.add_argument("--layers", type=COUNT, default=1, help="repetitions of the ansatz (default: 1)")
    circuits.add_argument("--reuploads", type=COUNT, default=1, help="repetitions of embedding and layers (default: 1)")
    circuits.add_argument("--embedding", default="rx", help="rx, ry, or h+ry (default: rx)")
    circuits.add_argument("--readout", default="z", help="the Pauli operator that is measured: x, y, or z (default: z)")
    circuits.add_argument("--backend", nargs="+", default=[], help="fake backends to compile for, such as fake_manila")
    circuits.add_argument("--pairs", type=COUNT, default=5000, help="pairs of states for expressibility (default: 5000)")
    circuits.add_argument("--embedded", action="store_true", help="analyse with random inputs, not the weighted gates alone")
    circuits.add_argument("--draw", metavar="FILE", help="draw one circuit: FILE.png, .pdf, .svg, .txt, or - for the terminal")
    circuits.set_defaults(command=_circuits)

    devices = commands.add_parser("devices", help="show the quantum devices that are installed and usable here")
    devices.add_argument("--check", action="store_true", help="run a circuit on each, and compare; exit code 1 if one differs")
    devices.set_defaults(command=_devices)


def _circuits(arguments: argparse.Namespace) -> int:
    from hqc_ray import usercode
    from hqc_ray.quantum import circuits
    from hqc_ray.quantum.study import catalogue

    usercode.findable(Path.cwd())
    options = (arguments.qubits, arguments.embedding, arguments.layers, arguments.reuploads, arguments.readout)
    chosen = [circuits.get(name, *options) for name in arguments.names or circuits.CIRCUITS]
    if arguments.draw is not None:
        if len(chosen) != 1 or not arguments.names:
            raise InputError("one circuit can be drawn at a time", where="--draw", valid="hqc circuits NAME --draw FILE.png")
        return _draw(chosen[0], arguments.draw)
    machines = {name: catalogue.machine(name) for name in arguments.backend}
    for device in machines.values():
        device.check(min(chosen, key=lambda circuit: circuit.n_qubits))  # a backend that is too small for all of them
    progress = Console(stderr=True)
    rows = [
        catalogue.row(circuit, machines, arguments.pairs, embedded=arguments.embedded)
        for circuit in track(chosen, "analysing", console=progress, transient=True, disable=not progress.is_terminal)
    ]
    console(WIDE).print(_table(rows, machines))
    print(_legend(arguments, rows))
    return OK


def _draw(circuit: Circuit, target: str) -> int:
    from hqc_ray.quantum.circuits import drawing

    if target == "-":
        print(drawing.text(circuit, console().width))
        return OK
    path = Path(target)
    if path.suffix not in (*FIGURES, ".txt"):
        raise InputError(f"cannot draw to {target!r}", where="--draw", valid=f"a file {', '.join(FIGURES)} or .txt, or -")
    try:
        if path.suffix == ".txt":
            path.write_text(drawing.text(circuit) + "\n", encoding="utf-8")
        else:
            drawing.figure(circuit).savefig(path)
    except OSError as problem:
        raise InputError(f"cannot write {target!r}: {problem.strerror}", where="--draw") from problem
    print(path)
    return OK


def _table(rows: list[Row], backends: Any) -> Table:
    table = Table()
    numbers = ("qubits", "weights", "expressibility (95 %)", "reported", "entangling (95 %)", "dead weights", "dead inputs")
    for name in ("circuit", *numbers):
        table.add_column(name, justify="left" if name == "circuit" else "right", overflow="fold")
    for name in backends:
        table.add_column(f"{name}\ndepth / 2-qubit", justify="right", overflow="fold")
    for row in rows:
        kl, q, circuit = row.expressibility, row.entangling, row.circuit
        table.add_row(
            circuit.name, str(circuit.n_qubits), str(circuit.n_weights), f"{kl.value:.4f} [{kl.low:.4f}, {kl.high:.4f}]",
            "" if row.reported is None else f"{row.reported:.3f}", f"{q.value:.3f} [{q.low:.3f}, {q.high:.3f}]",
            _dead(row.dead_weights, circuit.n_weights), _dead(row.dead_inputs, circuit.n_qubits),
            *(_compiled(found) for found in row.compiled.values()),
        )  # fmt: skip
    return table


def _dead(indices: tuple[int, ...], of: int) -> str:
    return "all" if len(indices) == of and of else str(len(indices))


def _compiled(found: CompiledFacts | None) -> str:
    return f"{found.depth} / {found.two_qubit_gates}" if found else "too small"


def _legend(arguments: argparse.Namespace, rows: list[Row]) -> str:
    from hqc_ray.quantum.study import analysis

    sizes = sorted({row.circuit.n_qubits for row in rows})
    floors = ", ".join(f"{analysis.floor(n, arguments.pairs):.4f} on {n}" for n in sizes)
    sampled = "the circuit at random inputs" if arguments.embedded else "the weighted gates alone, on |0...0>"
    lines = [
        f"expressibility: KL divergence to Haar in nats, from {arguments.pairs:,} pairs of states of {sampled};",
        f"  so many pairs of Haar-random states give {floors} qubits",
        "reported: printed in arXiv 2309.06377; the circuits as drawn do not reproduce it",
        f"entangling: mean Meyer-Wallach Q; Haar-random states give {', '.join(f'{(2**n - 2) / (2**n + 1):.3f}' for n in sizes)}",
        f"dead: moves no output, with the embedding {arguments.embedding} and the readout {arguments.readout}",
    ]
    for row in rows if arguments.names else []:
        for what, dead in (("weights", row.dead_weights), ("inputs", row.dead_inputs)):
            lines += [f"{row.circuit.name}: dead {what} {', '.join(map(str, dead))}"] if dead else []
    return "\n".join(lines)


def _devices(arguments: argparse.Namespace) -> int:
    from hqc_ray.quantum.devices import parity
    from hqc_ray.quantum.study import inventory

    found, errors = inventory.installed(), dict[str, tuple[float, str]]()
    if arguments.check:
        progress = Console(stderr=True)
        names = [device.name for device in found if device.checkable]
        for name in track(names, "checking", console=progress, transient=True, disable=not progress.is_terminal):
            errors[name] = _parity(name)
    table = Table()
    for column in ("device", "usable", "version", *(["largest error"] if arguments.check else []), "note"):
        table.add_column(column, overflow="fold")
    failed = {name for name, (error, _) in errors.items() if not error < parity.EQUAL}
    for device in found:
        error, problem = errors.get(device.name, (float("nan"), ""))
        shown = [f"{error:.1e}" if math.isfinite(error) else ""] if arguments.check else []
        usable = "fails" if device.name in failed else "yes" if device.usable else "no"
        table.add_row(device.name, usable, device.version, *shown, escape(problem or device.note))
    console().print(table)
    print(f"fake backends for `noise`: {', '.join(inventory.backends()) or 'none: pip install qiskit-ibm-runtime'}")
    print(f"other PennyLane devices here, by their names: {', '.join(inventory.others()) or 'none'}")
    if failed:
        print(f"hqc: {', '.join(sorted(failed))}: other probabilities than ours, by {parity.EQUAL} or more", file=sys.stderr)
    return FAILED if failed else OK


def _parity(name: str) -> tuple[float, str]:
    """The largest error of a device, and what went wrong if it gave none."""
    from hqc_ray.quantum import devices
    from hqc_ray.quantum.devices import parity

    try:
        return parity.deviation(devices.get(name)), ""
    except DeviceError as problem:
        return float("inf"), str(problem)
