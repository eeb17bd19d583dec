"""`hqc cluster doctor`: every node of a running cluster in one line, and what is wrong on it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from hqc_ray.commands import FAILED, OK, console, seconds

if TYPE_CHECKING:
    from hqc_ray.cluster.doctor import Node

WIDE = 180  # of a table in a file or a pipe
GIB = 2**30


def add(known: Any) -> None:
    """Add `doctor` to the commands of `hqc cluster`."""
    doctor = known.add_parser("doctor", help="examine every node of a running cluster; exit code 1 if a sweep would fail")
    doctor.add_argument("--address", default="auto", help="of the cluster (default: auto, the one this machine is part of)")
    doctor.add_argument("--timeout", type=seconds, default=120, metavar="S", help="seconds that a node may take (default: 120)")
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from hqc_ray.cluster import doctor

    nodes, here = doctor.examine(arguments.address, arguments.timeout)
    table = Table()
    for column in ("node", "id", "Python", "hqc_ray", "ray", "CPUs / cores", "threads", "memory", "disk free", "GPUs", "devices"):
        table.add_column(column, overflow="fold")
    for node in nodes:
        table.add_row(*(escape(text) for text in _line(node)))
    console(WIDE).print(table)
    for node in nodes:
        for name, files in node.report.folders.items() if node.report else ():
            print(f"{node.name}: {name}: {files if isinstance(files, str) else ', '.join(files) or 'empty'}")
    found = doctor.findings(nodes, here)
    for finding in found:
        print(f"hqc: {'warning' if finding.warning else 'error'}: {finding}", file=sys.stderr)
    if not found:
        print(f"{len(nodes)} nodes like this one; probabilities within {doctor.TOLERANCE} on {', '.join(doctor.CIRCUITS)}")
    return OK if all(finding.warning for finding in found) else FAILED


def _line(node: Node) -> list[str]:
    """A node's cells of the table."""
    cpus, gpus = f"{node.resources.get('CPU', 0):g}", f"{node.resources.get('GPU', 0):g}"
    types = " ".join(name.partition(":")[2] for name in node.resources if name.startswith("accelerator_type:"))
    found, name = node.report, node.address + (" (head)" if node.head else "")
    if found is None:
        return [name, node.id[:8], "", "", "", cpus, "", "", "", f"{gpus} {types}".strip(), "no answer"]
    return [
        name, node.id[:8], found.python, found.packages.get("hqc_ray") or "missing", found.packages.get("ray") or "missing",
        f"{cpus} / {found.cores}", str(found.threads), f"{found.memory / GIB:.1f} GiB", f"{found.disk_free / GIB:.1f} GiB",
        f"{gpus} {types}".strip(), ", ".join(found.devices),
    ]  # fmt: skip
