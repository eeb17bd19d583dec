"""`hqc cluster check`: a cluster's file, before anything is started."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hqc_ray.commands import BAD_INPUT, OK, PER_GPU, summary

EXAMPLE = """\
hqc cluster check cluster.yaml
hqc cluster check cluster.yaml --workers-per-gpu 4"""


def add(known: Any) -> None:
    """Add `check` to the commands of `hqc cluster`."""
    about = summary("find what `ray up` would only fail on later; starts nothing, needs no network")
    check = known.add_parser("check", **about, example=EXAMPLE)
    check.add_argument("file", help="such as cluster.yaml, or a RayCluster or RayJob of KubeRay")
    check.add_argument("--results", default="results", help="folder of results, checked to be writable")
    check.add_argument("--workers-per-gpu", type=PER_GPU, default=0, metavar="N", help="as `hqc sweep` will be told")
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    from hqc_ray.cluster import check

    found = check.check(arguments.file, arguments.results, arguments.workers_per_gpu)
    for finding in found:
        print(f"hqc: {'warning' if finding.warning else 'error'}: {finding}", file=sys.stderr)
    errors = sum(not finding.warning for finding in found)
    for line in check.summary(arguments.file):
        print(line)
    print(f"errors: {errors}, warnings: {len(found) - errors}")
    return BAD_INPUT if errors else OK
