"""`hqc sweep`: run a sweep, or what is left of it; `hqc report`: its tables and figures again, from the rows alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hqc_ray.commands import FAILED, INTERRUPTED, OK, PER_GPU, WORKERS, console
from hqc_ray.errors import InputError


def add(known: Any) -> None:
    """Add `sweep` and `report` to the commands of `hqc`."""
    sweep = known.add_parser("sweep", help="run a sweep, or what is left of it")
    sweep.add_argument("file", help="a sweep file, such as sweeps/quickstart.yaml")
    sweep.add_argument("--results", default="results", help="parent of the results folder (default: results)")
    sweep.add_argument("--storage", metavar="URI", help="durable mirror of the results: s3://..., gs://... or a mounted path")
    sweep.add_argument("--workers", type=WORKERS, help="CPUs to use, here or of the cluster (default: all)")
    sweep.add_argument("--address", help="run on the Ray cluster at this address ('auto': the one this machine is part of)")
    sweep.add_argument("--workers-per-gpu", type=PER_GPU, default=0, metavar="N", help="backbones on GPUs, N workers per GPU")
    sweep.add_argument("--serial", action="store_true", help="run in this process, without Ray")
    sweep.set_defaults(command=_sweep)

    report = known.add_parser("report", help="rebuild tables and figures from the rows of a results folder")
    report.add_argument("folder", help="such as results/quickstart")
    report.set_defaults(command=_report)


def _sweep(arguments: argparse.Namespace) -> int:
    from hqc_ray import report
    from hqc_ray.report.style import printable
    from hqc_ray.sweep import run

    if arguments.serial and (arguments.address or arguments.workers or arguments.workers_per_gpu):
        raise InputError("--serial runs in this process", valid="--serial alone, or --workers / --address / --workers-per-gpu")
    found = run.execute(
        arguments.file, arguments.results, serial=arguments.serial, workers=arguments.workers, address=arguments.address,
        workers_per_gpu=arguments.workers_per_gpu,
        storage=arguments.storage,
    )  # fmt: skip
    if len(found.rows):
        print(f"hqc: drawing the report of {len(found.rows):,} cells", file=sys.stderr, flush=True)
        made = report.Report.of(found.rows, len(found.rows) + found.missing)
        paths = report.build(found.folder, made, found.provenance, found.folder.name)
        console().print(report.terminal_table(made))
        console().print(*made.answer, sep="\n", highlight=False, markup=False)
        print(*paths, sep="\n")
        if found.storage:
            found.storage.publish(found.folder, paths)
    if found.failed:
        failed = found.rows[found.rows["status"] == "failed"]
        print(f"hqc: {found.failed} of {len(found.rows)} cells failed; the first:", file=sys.stderr)
        print(printable(failed["error"].iloc[0]), file=sys.stderr)
    if found.missing:
        print(f"hqc: interrupted with {found.missing} cells left; the same command goes on with them", file=sys.stderr)
        return INTERRUPTED
    return FAILED if found.failed else OK


def _report(arguments: argparse.Namespace) -> int:
    from hqc_ray import report
    from hqc_ray.results.folder import Folder
    from hqc_ray.results.ledger import frame

    folder = Folder(Path(arguments.folder))
    rows, facts, order = folder.rows(), folder.facts(), folder.order()
    made = report.Report.of(frame(rows), len(order) if order else None)
    print(*report.build(folder.path, made, facts, folder.name), sep="\n")
    if made.unfinished:
        print(f"hqc: unfinished: {made.unfinished}", file=sys.stderr)
    return OK
