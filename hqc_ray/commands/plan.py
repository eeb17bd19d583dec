"""`hqc plan`: what a sweep file would do; computes nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hqc_ray.columns import counted
from hqc_ray.commands import OK, json_option, print_json, print_table, summary
from hqc_ray.commands.shipped import SWEEP, sweep_file

if TYPE_CHECKING:
    from hqc_ray.plan import Judge, Plan, Search

EXAMPLE = """\
hqc plan quickstart             # a sweep that comes with hqc_ray
hqc plan sweeps/mine.yaml
hqc plan mine.yaml --json | jq .cells"""


def add(known: Any) -> None:
    """Add `plan` to the commands of `hqc`."""
    about = summary("validate a sweep file and show what it would do; computes nothing")
    plan = known.add_parser("plan", **about, example=EXAMPLE)
    plan.add_argument("file", help=SWEEP)
    json_option(plan)
    plan.set_defaults(command=_plan)


@dataclass
class Entry:
    """A line of the plan: a model on its images, with the axes that it is swept over."""

    backbone: str
    weights: str
    head: str
    qubits: int | None
    images: int
    seeds: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    attacks: list[str] = field(default_factory=list)
    cells: int = 0


def _plan(arguments: argparse.Namespace) -> int:
    from hqc_ray.sweep import run

    _, plan = run.prepare(sweep_file(arguments.file))
    facts = _facts(plan)
    if arguments.json:
        print_json(facts)
        return OK
    for label, asked in facts["measured"].items():
        counts = f"{counted(asked.circuits, 'circuit')}, {counted(asked.shots, 'shot')}, {counted(asked.jobs, 'job')}"
        print(f"{label}: {counts} to measure {counted(asked.surrogates, 'surrogate')}; no attack asks the device for more")
        if asked.caveat:
            print(f"{label}: {asked.caveat}")
    head = ("backbone", "weights", "head", "qubits", "images", "seeds", "devices", "attacks", "cells")
    title = f"{plan.name}: {counted(plan.n_cells, 'cell')}"
    print_table(head, list(map(_line, facts["models"])), right=(3, 4, 8), heading=3, fold=(5, 6, 7), title=title)
    print()
    for text in _totals(facts):
        print(text)
    return OK


def _facts(plan: Plan) -> dict[str, Any]:
    """What a plan does, as `--json` prints it; times are in seconds, and rough."""
    from hqc_ray.sweep.graph import costs
    from hqc_ray.sweep.graph.jobs import START_SECONDS

    files, size = costs.kept(plan)
    cores, seconds = os.cpu_count() or 1, costs.total(plan)
    return {
        "name": plan.name, "cells": plan.n_cells, "models": _entries(plan), "subsets": len(plan.data),
        "trainings": len(plan.trainings), "searches": len(plan.groups) + len(plan.starts), "surrogates": len(plan.deployments),
        "circuits": sum(costs.circuits(job.model, device) for job, device in plan.deployments),
        "shots": sum(costs.sampled_shots(group) for group in plan.groups),
        "measured": costs.measured(plan), "kept_files": files, "kept_bytes": size,
        "downloads": _downloads(plan), "seconds_on_one_core": seconds, "cores": cores, "start_seconds": START_SECONDS,
        "seconds_here": seconds / cores + START_SECONDS,
    }  # fmt: skip


def _downloads(plan: Plan) -> dict[str, str]:
    """The backbones whose weights are not here, and where they are downloaded from."""
    from hqc_ray.models.backbones import weights

    pairs = sorted({(job.model.backbone, str(job.model.weights)) for job in plan.trainings})
    return {name: url for name, kind in pairs if (url := weights.missing(name, kind))}


def _totals(facts: dict[str, Any]) -> Iterator[str]:
    from hqc_ray.sweep.progress import duration

    if facts["kept_files"]:
        size = f"about {facts['kept_bytes'] / 1e6:,.0f} MB in the results folder"
        yield f"{counted(facts['kept_files'], 'file')} of attacked images, {size}"
    searches = counted(facts["searches"], "search", "searches")
    yield f"{counted(facts['subsets'], 'subset')} of images, {counted(facts['trainings'], 'training')}, {searches}"
    judged = f", then {counted(facts['shots'], 'shot')}, sampled from them" if facts["shots"] else ""
    yield f"{counted(facts['circuits'], 'circuit execution')} for {counted(facts['surrogates'], 'surrogate')}{judged}"
    for name, url in facts["downloads"].items():
        yield f"the weights of {name} are not here: the sweep will download {url}; or put that file at $HQC_WEIGHTS/{name}.pth"
    work, start = facts["seconds_on_one_core"], facts["start_seconds"]
    here = f"about {duration(facts['seconds_here'])} on the {facts['cores'] if facts['cores'] > 1 else 'one'} here"
    mostly = ", most of it the start of Ray" if 2 * start > facts["seconds_here"] else ""
    yield f"{'under a second' if work < 1 else f'about {duration(work)}'} of work on one core, {here}{mostly}"
    yield "(rough, and as if nothing were done yet; a running sweep shows a better estimate)"


def _line(entry: Entry) -> list[str]:
    axes = (", ".join(map(str, axis)) for axis in (entry.seeds, entry.devices, entry.attacks))
    qubits = "" if entry.qubits is None else str(entry.qubits)
    return [entry.backbone, entry.weights, entry.head, qubits, f"{entry.images:,}", *axes, f"{entry.cells:,}"]


def _entries(plan: Plan) -> list[Entry]:
    """A line per backbone, head and number of images, with its seeds, devices and attacks."""
    from hqc_ray.models import heads
    from hqc_ray.sweep.graph import resolve

    found: dict[tuple[Any, ...], Entry] = {}
    axes: dict[tuple[Any, ...], list[dict[Any, None]]] = {}
    for group in plan.groups:
        for judge in group.judges:
            m, cells = judge.training.model, [cell for cell in group.cells if cell.judge is judge]
            key = (m.backbone, m.weights, m.head, heads.get(m).width, judge.training.data.size)
            entry = found.setdefault(key, Entry(*key))
            seeds, devices, attacks = axes.setdefault(key, [{}, {}, {}])
            seeds[judge.training.seed] = None
            devices[resolve.device_of(judge.device).label if judge.device else "classical"] = None
            epsilons = [cell.epsilon for cell in cells if cell.epsilon]
            attacks[_attack_text(group.search, judge) + (f" x {len(epsilons)}" if epsilons else "")] = None
            entry.seeds, entry.devices, entry.attacks = list(seeds), list(devices), list(attacks)
            entry.cells += len(cells)
    return list(found.values())


def _attack_text(search: Search, judge: Judge) -> str:
    """The attack, with its level, and the attacked model if that is not the judge."""
    from hqc_ray.plan import attack_label

    level = "" if search.attack.level == "pixels" else f" of {search.attack.level}"
    model = "" if search.training is judge.training else f" on {search.training.model.head}, seed {search.training.seed}"
    return attack_label(search.attack) + level + model
