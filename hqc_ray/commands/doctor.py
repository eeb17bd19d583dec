"""`hqc cluster doctor`: every node of a running cluster in one line, and what is wrong on it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hqc_ray.commands import FAILED, OK, json_option, print_json, print_table, seconds, summary

if TYPE_CHECKING:
    from hqc_ray.cluster.doctor import Node

GIB = 2**30
COLUMNS = ("node", "id", "Python", "hqc_ray", "ray", "CPUs / cores", "threads", "memory", "disk free", "GPUs", "devices")
EXAMPLE = """\
hqc cluster doctor
hqc cluster doctor --address 10.0.0.7:6379 --timeout 300
hqc cluster doctor --json | jq .findings"""


def add(known: Any) -> None:
    """Add `doctor` to the commands of `hqc cluster`."""
    about = summary("examine every node of a running cluster; exit code 1 if a sweep would fail")
    doctor = known.add_parser("doctor", **about, example=EXAMPLE)
    doctor.add_argument("--address", default="auto", help="of the cluster (default: auto, the one this machine is part of)")
    doctor.add_argument("--timeout", type=seconds, default=120, metavar="S", help="seconds that a node may take")
    json_option(doctor)
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from hqc_ray.cluster import doctor

    nodes, here = doctor.examine(arguments.address, arguments.timeout)
    found = doctor.findings(nodes, here)
    code = OK if all(finding.warning for finding in found) else FAILED
    if arguments.json:
        print_json({"nodes": nodes, "here": here, "findings": found})
        return code
    print_table(COLUMNS, list(map(_line, nodes)), heading=2, fold=(10,))
    for node in nodes:
        for name, files in node.report.folders.items() if node.report else ():
            print(f"{node.name}: {name}: {files if isinstance(files, str) else ', '.join(files) or 'empty'}")
    for finding in found:
        print(f"hqc: {'warning' if finding.warning else 'error'}: {finding}", file=sys.stderr)
    if not found:
        print(f"{len(nodes)} nodes like this one; probabilities within {doctor.TOLERANCE} on {', '.join(doctor.CIRCUITS)}")
    return code


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
