"""`hqc circuits` and `hqc devices`: what there is, what it can do, and whether it works here."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from hqc_ray.commands import COUNT, FAILED, OK, console, group, json_option, print_json, print_table, print_text, summary
from hqc_ray.errors import DeviceError, InputError

if TYPE_CHECKING:
    from hqc_ray.quantum.circuits import Circuit
    from hqc_ray.quantum.devices.facts import CompiledFacts
    from hqc_ray.quantum.study.catalogue import Row

FIGURES = (".png", ".pdf", ".svg")
CIRCUITS_EXAMPLE = """\
hqc circuits vqc1 vqc6                       # what two circuits can do
hqc circuits vqc1 --draw -                   # draw one in the terminal
hqc circuits sim14 --qubits 6 --backend fake_jakarta
hqc circuits mine:ansatz                     # your own: module:function
hqc circuits --json > circuits.json          # all of them"""
DEVICES_EXAMPLE = """\
hqc devices
hqc devices --check        # do they agree with each other?
hqc devices --json | jq '.devices[] | select(.usable) | .name'"""
NUMBERS = ("qubits", "weights", "expressibility (95 %)", "reported", "entangling (95 %)", "dead weights", "dead inputs")


def add(commands: Any) -> None:
    """Add both commands to the parser."""
    about = summary("list the circuits and what they can do, or draw one")
    circuits = commands.add_parser("circuits", **about, example=CIRCUITS_EXAMPLE)
    circuits.add_argument("names", nargs="*", metavar="NAME", help="such as vqc1, or package.module:function (default: all)")
    circuits.add_argument("--qubits", type=COUNT, metavar="N", help="number of qubits (default: as each circuit is drawn)")
    circuits.add_argument("--layers", type=COUNT, default=1, metavar="N", help="repetitions of the ansatz")
    circuits.add_argument("--reuploads", type=COUNT, default=1, metavar="N", help="repetitions of embedding and layers")
    circuits.add_argument("--embedding", default="rx", help="rx, ry, or h+ry")
    circuits.add_argument("--readout", default="z", help="the Pauli operator that is measured: x, y, or z")
    backend = "fake backends to compile for, such as fake_manila (default: none)"
    circuits.add_argument("--backend", nargs="+", default=[], metavar="NAME", help=backend)
    circuits.add_argument("--pairs", type=COUNT, default=5000, metavar="N", help="pairs of states for expressibility")
    circuits.add_argument("--embedded", action="store_true", help="analyse with random inputs, not the weighted gates alone")
    circuits.add_argument("--draw", metavar="FILE", help="draw one circuit: FILE.png, .pdf, .svg, .txt, or - for the terminal")
    json_option(circuits)
    group(circuits, "the circuit", ("--qubits", "--layers", "--reuploads", "--embedding", "--readout"))
    group(circuits, "its analysis", ("--backend", "--pairs", "--embedded"))
    group(circuits, "what is shown", ("--draw", "--json"))
    circuits.set_defaults(command=_circuits)

    about = summary("show the quantum devices that are installed and usable here")
    devices = commands.add_parser("devices", **about, example=DEVICES_EXAMPLE)
    devices.add_argument("--check", action="store_true", help="run a circuit on each, and compare; exit code 1 if one differs")
    json_option(devices)
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
    if arguments.json:
        print_json(list(map(_facts, rows)))
        return OK
    head = ("circuit", *NUMBERS, *(f"{name}\ndepth / 2-qubit" for name in machines))
    print_table(head, list(map(_line, rows)), right=range(1, len(head)))
    print()
    for text in _legend(arguments, rows):
        print_text(text)
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


def _line(row: Row) -> list[str]:
    kl, q, circuit = row.expressibility, row.entangling, row.circuit
    return [
        circuit.name, str(circuit.n_qubits), str(circuit.n_weights), f"{kl.value:.4f} [{kl.low:.4f}, {kl.high:.4f}]",
        "" if row.reported is None else f"{row.reported:.3f}", f"{q.value:.3f} [{q.low:.3f}, {q.high:.3f}]",
        _dead(row.dead_weights, circuit.n_weights), _dead(row.dead_inputs, circuit.n_qubits),
        *(_compiled(found) for found in row.compiled.values()),
    ]  # fmt: skip


def _facts(row: Row) -> dict[str, Any]:
    """A circuit as `--json` prints it."""
    circuit = row.circuit
    return {
        "circuit": circuit.name, "qubits": circuit.n_qubits, "weights": circuit.n_weights, "embedding": circuit.embedding,
        "readout": circuit.readout, "expressibility": row.expressibility, "reported": row.reported,
        "entangling": row.entangling, "dead_weights": row.dead_weights, "dead_inputs": row.dead_inputs,
        "compiled": row.compiled,
    }  # fmt: skip


def _dead(indices: tuple[int, ...], of: int) -> str:
    return "all" if len(indices) == of and of else str(len(indices))


def _compiled(found: CompiledFacts | None) -> str:
    return f"{found.depth} / {found.two_qubit_gates}" if found else "too small"


def _legend(arguments: argparse.Namespace, rows: list[Row]) -> list[str]:
    from hqc_ray.quantum.study import analysis

    sizes = sorted({row.circuit.n_qubits for row in rows})
    floors = ", ".join(f"{analysis.floor(n, arguments.pairs):.4f} on {n}" for n in sizes)
    sampled = "the circuit at random inputs" if arguments.embedded else "the weighted gates alone, on |0...0>"
    lines = [
        f"expressibility: KL divergence to Haar in nats, from {arguments.pairs:,} pairs of states of {sampled}; "
        f"so many pairs of Haar-random states give {floors} qubits",
        "reported: printed in arXiv 2309.06377; the circuits as drawn do not reproduce it",
        f"entangling: mean Meyer-Wallach Q; Haar-random states give {', '.join(f'{(2**n - 2) / (2**n + 1):.3f}' for n in sizes)}",
        f"dead: moves no output, with the embedding {arguments.embedding} and the readout {arguments.readout}",
    ]
    for row in rows if arguments.names else []:
        for what, dead in (("weights", row.dead_weights), ("inputs", row.dead_inputs)):
            lines += [f"{row.circuit.name}: dead {what} {', '.join(map(str, dead))}"] if dead else []
    return lines


def _devices(arguments: argparse.Namespace) -> int:
    from hqc_ray.quantum.devices import parity
    from hqc_ray.quantum.study import inventory

    found, errors = inventory.installed(), dict[str, tuple[float, str]]()
    if arguments.check:
        progress = Console(stderr=True)
        names = [device.name for device in found if device.checkable]
        for name in track(names, "checking", console=progress, transient=True, disable=not progress.is_terminal):
            errors[name] = _parity(name)
    failed = {name for name, (error, _) in errors.items() if not error < parity.EQUAL}
    if arguments.json:
        told = [{**vars(device), **_checked(errors.get(device.name), device.name in failed)} for device in found]
        print_json({"devices": told, "fake_backends": inventory.backends(), "others": inventory.others()})
        return FAILED if failed else OK
    lines = []
    for device in found:
        error, problem = errors.get(device.name, (float("nan"), ""))
        shown = [f"{error:.1e}" if math.isfinite(error) else ""] if arguments.check else []
        usable = "fails" if device.name in failed else "yes" if device.usable else "no"
        lines.append([device.name, usable, device.version, *shown, problem or device.note])
    head = ("device", "usable", "version", *(["largest error"] if arguments.check else []), "note")
    print_table(head, lines, fold=(len(head) - 1,))
    print()
    fakes = ", ".join(inventory.backends()) or "none: pip install qiskit-ibm-runtime"
    others = ", ".join(inventory.others()) or "none"
    for text in (f"fake backends for `noise`: {fakes}", f"other PennyLane devices here, by their names: {others}"):
        print_text(text)
    if failed:
        print(f"hqc: {', '.join(sorted(failed))}: other probabilities than ours, by {parity.EQUAL} or more", file=sys.stderr)
    return FAILED if failed else OK


def _checked(found: tuple[float, str] | None, failed: bool) -> dict[str, Any]:
    """What a check found of a device, as `--json` prints it; nothing where none was made."""
    return {} if found is None else {"largest_error": found[0], "problem": found[1], "fails": failed}


def _parity(name: str) -> tuple[float, str]:
    """The largest error of a device, and what went wrong if it gave none."""
    from hqc_ray.quantum import devices
    from hqc_ray.quantum.devices import parity

    try:
        return parity.deviation(devices.get(name)), ""
    except DeviceError as problem:
        return float("inf"), str(problem)
