"""`hqc cluster`: look after a cluster."""

from __future__ import annotations

from typing import Any

from hqc_ray.commands import check, doctor


def add(commands: Any) -> None:
    """Add `hqc cluster` and what it can do to the parser."""
    cluster = commands.add_parser("cluster", help="check a Ray cluster before and while it runs")
    known = cluster.add_subparsers(required=True, metavar="COMMAND")
    check.add(known)
    doctor.add(known)
