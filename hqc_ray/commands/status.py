"""`hqc status`: where a sweep stands that runs here or elsewhere, that died, was interrupted, or is finished."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray.commands import OK, json_option, print_json, summary

if TYPE_CHECKING:
    from hqc_ray.results.status import Status

EXAMPLE = """\
hqc status results/quickstart
hqc status s3://bucket/prefix/quickstart --json | jq .state"""


def add(known: Any) -> None:
    """Add `status` to the commands of `hqc`."""
    about = summary("where a sweep stands: running, finished, interrupted or dead; how to go on")
    status = known.add_parser("status", **about, example=EXAMPLE)
    status.add_argument("folder", help="such as results/quickstart; or STORAGE/SWEEP, such as s3://bucket/prefix/quickstart")
    json_option(status)
    status.set_defaults(command=_status)


def _status(arguments: argparse.Namespace) -> int:
    from hqc_ray.results import status  # files alone: neither torch nor a table is imported

    remote = "://" in arguments.folder
    found = status.of_storage(arguments.folder) if remote else status.of_folder(Path(arguments.folder))
    if arguments.json:
        print_json(found)
    else:
        print(*_lines(found), sep="\n")
    return OK


def _lines(found: Status) -> list[str]:
    """What there is to say, a thing a line, which fits into 60 columns where names are short."""
    from hqc_ray.results.status import RUNNING
    from hqc_ray.sweep.progress import duration

    of = "an unknown number of" if found.cells is None else f"{found.cells:,}"
    lines = [f"{found.sweep}: {found.state}", f"{found.done:,} of {of} cells done, {found.failed:,} failed"]
    if found.left_seconds is not None:
        about = "roughly" if found.rough else "about"
        lines.append(f"{about} {duration(found.left_seconds)} left, on {found.workers} worker{'s' if found.workers != 1 else ''}")
    if found.stages:
        lines.append("stages, as its driver last said:" if found.state != RUNNING else "stages of this run:")
        for stage in found.stages:
            failed = f", {stage['failed']} failed" if stage["failed"] else ""
            lines.append(f"  {stage['name']}: {stage['done']} of {stage['of']}{failed}")
    if found.host:
        lines.append(f"driver: process {found.pid} on {found.host}, since {found.since}")
    lines.append(f"last row: {found.last_row or 'none yet'}")
    lines += [f"stopped by: {found.error}"] if found.error else []
    return [*lines, found.go_on]
