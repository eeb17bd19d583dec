"""`hqc plan`: what a sweep file would do; computes nothing."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rich.markup import escape
from rich.table import Table

from hqc_ray.commands import OK, console


def add(known: Any) -> None:
    """Add `plan` to the commands of `hqc`."""
    plan = known.add_parser("plan", help="validate a sweep file and show what it would do; computes nothing")
    plan.add_argument("file", help="a sweep file, such as sweeps/quickstart.yaml")
    plan.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    from hqc_ray.sweep import run
    from hqc_ray.sweep.graph import costs
    from hqc_ray.sweep.graph.jobs import START_SECONDS
    from hqc_ray.sweep.progress import duration

    _, plan = run.prepare(arguments.file)
    for label, asked in costs.measured(plan).items():
        print(f"{label}: {asked.circuits:,} circuits, {asked.shots:,} shots, {asked.jobs:,} jobs", end=" ")
        print(f"to measure {asked.surrogates:,} surrogates; no attack asks the device for more")
    table = Table(title=f"{plan.name}: {plan.n_cells:,} cells", title_justify="left")
    for column in ("backbone", "weights", "head", "qubits", "images", "seeds", "devices", "attacks", "cells"):
        table.add_column(column, justify="right" if column in ("qubits", "images", "cells") else "left", overflow="fold")
    for line in _plan_lines(plan):
        table.add_row(*(escape(text) for text in line))  # rich would take a device's [options] for markup
    console().print(table)
    circuits = sum(costs.circuits(job.model, device) for job, device in plan.deployments)
    shots = sum(costs.sampled_shots(group) for group in plan.groups)
    files, size = costs.kept(plan)
    if files:
        print(f"{files:,} files of attacked images are kept, about {size / 1e6:,.0f} MB in the results folder")
    cores, seconds = os.cpu_count() or 1, costs.total(plan)
    print(f"{len(plan.data)} subsets of images, {len(plan.trainings)} trainings, {len(plan.groups) + len(plan.starts)} searches")
    judged = f", then {shots:,} shots, sampled from them" if shots else ""
    print(f"{circuits:,} circuit executions for {len(plan.deployments)} surrogates{judged}")
    print(f"about {duration(seconds)} on one core, {duration(seconds / cores + START_SECONDS)} on the {cores} here")
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
