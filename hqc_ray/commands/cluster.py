"""`hqc cluster`: look after a cluster."""

from __future__ import annotations

from typing import Any

from hqc_ray.commands import check, doctor, summary

EXAMPLE = """\
hqc cluster check cluster.yaml   # before `ray up`
hqc cluster doctor               # on a machine of the cluster"""


def add(commands: Any) -> None:
    """Add `hqc cluster` and what it can do to the parser."""
    cluster = commands.add_parser("cluster", **summary("check a Ray cluster before and while it runs"), example=EXAMPLE)
    known = cluster.add_subparsers(metavar="COMMAND", title="commands")
    check.add(known)
    doctor.add(known)
