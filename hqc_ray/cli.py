"""`hqc`: plan, run and report sweeps; look at data, circuits, devices. Bad input is one line on standard error, exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from hqc_ray import __version__, commands
from hqc_ray.commands import cluster, positive, quantum, submit
from hqc_ray.errors import HqcError, InputError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the libraries are imported: workers, not threads, fill the cores
    warnings.formatwarning = _warning
    try:
        return int(arguments.command(arguments))
    except InputError as problem:
        print(f"hqc: error: {problem}", file=sys.stderr)
        return BAD_INPUT
    except HqcError as problem:
        print(f"hqc: {problem}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("hqc: interrupted; what was done is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `hqc ... | head`: the reader has gone
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hqc", description="Adversarial robustness of hybrid quantum-classical classifiers.")
    parser.add_argument("--version", action="version", version=f"hqc_ray {__version__}")
    known = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = known.add_parser("plan", help="validate a sweep file and show what it would do; computes nothing")
    plan.add_argument("file", help="a sweep file, such as sweeps/quickstart.yaml")
    plan.set_defaults(command=_plan)

    sweep = known.add_parser("sweep", help="run a sweep, or what is left of it")
    sweep.add_argument("file", help="a sweep file, such as sweeps/quickstart.yaml")
    sweep.add_argument("--results", default="results", help="parent of the results folder (default: results)")
    sweep.add_argument("--storage", metavar="URI", help="durable mirror of the results: s3://..., gs://... or a mounted path")
    sweep.add_argument("--workers", type=positive, help="CPUs to use, here or of the cluster (default: all)")
    sweep.add_argument("--address", help="run on the Ray cluster at this address ('auto': the one this machine is part of)")
    sweep.add_argument("--workers-per-gpu", type=positive, default=0, metavar="N", help="backbones on GPUs, N workers per GPU")
    sweep.add_argument("--serial", action="store_true", help="run in this process, without Ray")
    sweep.set_defaults(command=_sweep)

    report = known.add_parser("report", help="rebuild tables and figures from the rows of a results folder")
    report.add_argument("folder", help="such as results/quickstart")
    report.set_defaults(command=_report)

    data = known.add_parser("data", help="check a data source, and draw a sheet of samples")
    data.add_argument("source", help="such as pcam, folder, csv or idx, or package.module:name")
    data.add_argument("options", nargs="*", help="options of the source, such as path=DIR split=train classes=3,8")
    data.add_argument("--sheet", default="", help="where to write the sample sheet (default: SOURCE.png)")
    data.add_argument("--download", metavar="DIR", help="fetch PatchCamelyon into DIR first (8 GB; pcam only)")
    data.set_defaults(command=_data)

    quantum.add(known)
    cluster.add(known)
    submit.add(known)
    return parser


def _warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning of ours is for the user: one line, without the place in the code. Others are for developers, and keep it."""
    if Path(__file__).parent in Path(filename).parents:
        return f"hqc: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _plan(arguments: argparse.Namespace) -> int:
    from hqc_ray.sweep import run
    from hqc_ray.sweep.graph import costs
    from hqc_ray.sweep.progress import duration

    _, plan = run.prepare(arguments.file)
    console = commands.console()
    for label, asked in costs.measured(plan).items():
        print(f"{label}: {asked.circuits:,} circuits, {asked.shots:,} shots, {asked.jobs:,} jobs", end=" ")
        print(f"to measure {asked.surrogates:,} surrogates; no attack asks the device for more")
    table = Table(title=f"{plan.name}: {plan.n_cells:,} cells", title_justify="left")
    for column in ("backbone", "weights", "head", "qubits", "images", "seeds", "devices", "attacks", "cells"):
        table.add_column(column, justify="right" if column in ("qubits", "images", "cells") else "left", overflow="fold")
    for line in _plan_lines(plan):
        table.add_row(*(escape(text) for text in line))  # rich would take a device's [options] for markup
    console.print(table)
    circuits = sum(costs.circuits(job.model, device) for job, device in plan.deployments)
    shots = sum(costs.sampled_shots(group) for group in plan.groups)
    cores, seconds = os.cpu_count() or 1, costs.total(plan)
    print(f"{len(plan.data)} subsets of images, {len(plan.trainings)} trainings, {len(plan.groups)} searches")
    judged = f", then {shots:,} shots, sampled from them" if shots else ""
    print(f"{circuits:,} circuit executions for {len(plan.deployments)} surrogates{judged}")
    print(f"about {duration(seconds)} on one core, {duration(seconds / cores + costs.START_SECONDS)} on the {cores} here")
    print("(rough, and as if nothing were done yet; a running sweep shows a better estimate)")
    return OK


def _plan_lines(plan: Any) -> list[list[str]]:
    """A line per backbone, head and number of images, with its seeds, devices and attacks."""
    from hqc_ray.models import heads
    from hqc_ray.sweep.graph import resolve

    lines: dict[tuple[str, ...], list[Any]] = {}
    for group in plan.groups:
        for judge in group.judges:
            m, cells = judge.training.model, [cell for cell in group.cells if cell.judge is judge]
            key = (m.backbone, m.weights, m.head, str(heads.get(m).width or ""), f"{judge.training.data.size:,}")
            seeds, devices, attacks, count = lines.setdefault(key, [{}, {}, {}, 0])
            seeds[str(judge.training.seed)] = None
            devices[resolve.device_of(judge.device).label if judge.device else "classical"] = None
            epsilons = [cell.epsilon for cell in cells if cell.epsilon]
            attacks[_attack_text(group.search, judge) + (f" x {len(epsilons)}" if epsilons else "")] = None
            lines[key][3] = count + len(cells)
    return [[*key, *(", ".join(axis) for axis in axes[:3]), str(axes[3])] for key, axes in lines.items()]


def _attack_text(search: Any, judge: Any) -> str:
    """The attack, with its level, and the attacked model if that is not the judge."""
    from hqc_ray.plan import attack_label

    level = "" if search.attack.level == "pixels" else f" of {search.attack.level}"
    model = "" if search.training is judge.training else f" on {search.training.model.head}, seed {search.training.seed}"
    return attack_label(search.attack) + level + model


def _sweep(arguments: argparse.Namespace) -> int:
    from hqc_ray import report
    from hqc_ray.sweep import run

    if arguments.serial and (arguments.address or arguments.workers or arguments.workers_per_gpu):
        raise InputError("--serial runs in this process", valid="--serial alone, or --workers / --address / --workers-per-gpu")
    found = run.execute(
        arguments.file, arguments.results, serial=arguments.serial, workers=arguments.workers, address=arguments.address,
        workers_per_gpu=arguments.workers_per_gpu,
        storage=arguments.storage,
    )  # fmt: skip
    if len(found.rows):
        made = report.Report.of(found.rows)
        paths = report.build(found.folder, made, found.provenance, found.folder.name)
        commands.console().print(report.terminal_table(made))
        print(*paths, sep="\n")
        if found.storage:
            found.storage.publish(found.folder, paths)
    if found.failed:
        failed = found.rows[found.rows["status"] == "failed"]
        print(f"hqc: {found.failed} of {len(found.rows)} cells failed; the first:", file=sys.stderr)
        print(failed["error"].iloc[0], file=sys.stderr)
    if found.missing:
        print(f"hqc: interrupted with {found.missing} cells left; the same command goes on with them", file=sys.stderr)
        return INTERRUPTED
    return FAILED if found.failed else OK


def _report(arguments: argparse.Namespace) -> int:
    from hqc_ray import report
    from hqc_ray.results.folder import Folder
    from hqc_ray.results.ledger import frame

    folder = Folder(Path(arguments.folder))
    made = report.Report.of(frame(folder.rows()))
    print(*report.build(folder.path, made, folder.facts(), folder.name), sep="\n")
    return OK


def _data(arguments: argparse.Namespace) -> int:
    from hqc_ray import data
    from hqc_ray.data import download, sheet

    options = dict(_option(text) for text in arguments.options)
    if arguments.download:
        if arguments.source != "pcam":
            raise InputError("only PatchCamelyon can be fetched", where="--download", valid="hqc data pcam --download DIR")
        with commands.Downloads() as shown:
            download.fetch_pcam(arguments.download, progress=shown)
        options.setdefault("path", arguments.download)
    classes = options.pop("classes", None)
    source = data.get(arguments.source, classes=None if classes is None else classes.split(","), **options)
    source.check()
    for line in sheet.summary(source).lines():
        print(line)
    path = Path(arguments.sheet or f"{arguments.source.replace(':', '_')}.png")
    sheet.sample_sheet(source, path)
    print(f"sample sheet: {path}")
    return OK


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"not an option: {text!r}", valid="name=value, such as path=DIR")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
