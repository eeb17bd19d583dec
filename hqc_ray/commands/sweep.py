"""`hqc sweep`: run a sweep, or what is left of it; `hqc report`: its tables and figures again, from the rows alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hqc_ray.columns import counted
from hqc_ray.commands import FAILED, INTERRUPTED, OK, PER_GPU, WORKERS, console, group, json_option, print_json, summary
from hqc_ray.commands.shipped import SWEEP, sweep_file
from hqc_ray.errors import InputError

SWEEP_EXAMPLE = """\
hqc sweep quickstart                       # a sweep that comes with hqc_ray
hqc sweep mine.yaml --workers 8            # the same command goes on where it was
hqc sweep mine.yaml --address auto         # on the Ray cluster that this machine is part of"""
REPORT_EXAMPLE = """\
hqc report results/quickstart
hqc report results/quickstart --json | jq -r .page"""


def add(known: Any) -> None:
    """Add `sweep` and `report` to the commands of `hqc`."""
    sweep = known.add_parser("sweep", **summary("run a sweep, or what is left of it"), example=SWEEP_EXAMPLE)
    sweep.add_argument("file", help=SWEEP)
    sweep.add_argument("--results", default="results", metavar="DIR", help="parent of the results folder")
    sweep.add_argument("--storage", metavar="URI", help="durable mirror of the results: s3://..., gs://... or a mounted path")
    sweep.add_argument("--workers", type=WORKERS, metavar="N", help="CPUs to use, here or of the cluster (default: all)")
    address = "run on the Ray cluster at this address ('auto': the one this machine is part of; default: on this machine alone)"
    sweep.add_argument("--address", help=address)
    per_gpu = "backbones on GPUs, N workers per GPU (default: everything on CPUs)"
    sweep.add_argument("--workers-per-gpu", type=PER_GPU, default=0, metavar="N", help=per_gpu)
    sweep.add_argument("--serial", action="store_true", help="run in this process, without Ray")
    group(sweep, "where it runs", ("--workers", "--workers-per-gpu", "--address", "--serial"))
    group(sweep, "where the results are", ("--results", "--storage"))
    sweep.set_defaults(command=_sweep)

    about = summary("rebuild tables and figures from the rows of a results folder")
    report = known.add_parser("report", **about, example=REPORT_EXAMPLE)
    report.add_argument("folder", help="such as results/quickstart")
    json_option(report)
    report.set_defaults(command=_report)


def _sweep(arguments: argparse.Namespace) -> int:
    if arguments.serial and (arguments.address or arguments.workers or arguments.workers_per_gpu):
        raise InputError("--serial runs in this process", valid="--serial alone, or --workers / --address / --workers-per-gpu")
    from hqc_ray.sweep import run

    found = run.execute(
        sweep_file(arguments.file), arguments.results, serial=arguments.serial, workers=arguments.workers,
        address=arguments.address, workers_per_gpu=arguments.workers_per_gpu, storage=arguments.storage,
    )  # fmt: skip
    if len(found.rows):
        _show(found)
    if found.failed:
        from hqc_ray.report.style import printable

        failed = found.rows[found.rows["status"] == "failed"]
        print(f"hqc: {found.failed} of {counted(len(found.rows), 'cell')} failed; the first:", file=sys.stderr)
        print(printable(failed["error"].iloc[0]), file=sys.stderr)
    if found.missing:
        left = counted(found.missing, "cell")
        print(f"hqc: interrupted with {left} left; the same command goes on with them", file=sys.stderr)
        return INTERRUPTED
    return FAILED if found.failed else OK


def _show(found: Any) -> None:
    """Write and print what a sweep found."""
    print(f"hqc: drawing the report of {counted(len(found.rows), 'cell')}", file=sys.stderr, flush=True)
    from hqc_ray import report

    made = report.Report.of(found.rows, len(found.rows) + found.missing)
    paths = report.build(found.folder, made, found.provenance, found.folder.name)
    console().print(report.terminal_table(made))
    console().print("", *made.answer, "", sep="\n", highlight=False, markup=False)
    print(*_written(found.folder, paths), sep="\n")
    if found.storage:
        found.storage.publish(found.folder, paths)


def _written(folder: Path, paths: Sequence[Path]) -> list[str]:
    """Where the files of a report lie, in two lines: the folder with what is in it, and the page to open."""
    from hqc_ray.results.folder import Folder

    at = Folder(folder)
    figures = [path for path in paths if path.parent != folder]
    files = [path.name for path in paths if path.parent == folder and path != at.page]
    told = ", ".join([*files, *([f"figures/ ({len(figures)})"] if figures else [])])
    return [f"{folder}: {told}", f"open {at.page}"]


def _report(arguments: argparse.Namespace) -> int:
    from hqc_ray import report
    from hqc_ray.results.folder import Folder
    from hqc_ray.results.ledger import frame

    folder = Folder(Path(arguments.folder))
    rows, facts, order = folder.rows(), folder.facts(), folder.order()
    made = report.Report.of(frame(rows), len(order) if order else None)
    paths = report.build(folder.path, made, facts, folder.name)
    if made.unfinished:
        print(f"hqc: unfinished: {made.unfinished}", file=sys.stderr)
    if not arguments.json:
        print(*_written(folder.path, paths), sep="\n")
        return OK
    print_json({
        "name": folder.name, "folder": folder.path, "page": folder.page, "files": paths, "rows": len(rows),
        "cells": len(order or rows), "failed": sum(row.status != "ok" for row in rows), "unfinished": made.unfinished,
        "answer": made.answer, "flags": made.raised,
    })  # fmt: skip
    return OK
