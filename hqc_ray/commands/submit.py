"""`hqc submit`: a sweep as a job on a cluster's head, from any machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hqc_ray.commands import OK, PER_GPU, WORKERS, group, summary
from hqc_ray.commands.shipped import SWEEP, sweep_file

if TYPE_CHECKING:
    from hqc_ray.cluster.submit import Submission

EXAMPLE = """\
hqc submit sweeps/mine.yaml
hqc submit quickstart --address http://10.0.0.7:8265 --no-follow
hqc submit mine.yaml --storage s3://bucket/prefix --env HQC_DATA=/data/pcam"""


def add(known: Any) -> None:
    """Add `submit` to the parser."""
    about = summary("run a sweep on a cluster's head, as a job, from any machine")
    submit = known.add_parser("submit", **about, example=EXAMPLE)
    submit.add_argument("file", help=f"{SWEEP}; it and the code that it names are all that is shipped")
    submit.add_argument("--address", help="of the head's dashboard (default: RAY_API_SERVER_ADDRESS, or http://127.0.0.1:8265)")
    submit.add_argument("--results", default="results", help="parent of the results folder, in the head's home")
    submit.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="set for the job, with what the head has"
    )
    submit.add_argument("--storage", metavar="URI", help="durable mirror of the results: s3://..., gs://... or a mounted path")
    submit.add_argument("--workers", type=WORKERS, help="CPUs of the cluster to use (default: all)")
    submit.add_argument("--workers-per-gpu", type=PER_GPU, metavar="N", help="backbones on GPUs, N workers per GPU")
    submit.add_argument("--follow", action=argparse.BooleanOptionalAction, default=True, help="print the driver's output")
    group(submit, "the cluster", ("--address", "--env", "--workers", "--workers-per-gpu"))
    group(submit, "the results", ("--results", "--storage"))
    submit.set_defaults(command=_submit)


def _submit(arguments: argparse.Namespace) -> int:
    from hqc_ray.cluster import submit

    given = {f"--{name}": getattr(arguments, name.replace("-", "_")) for name in ("storage", "workers", "workers-per-gpu")}
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    ready = submit.prepare(sweep_file(arguments.file), arguments.results, arguments.env, options)
    client = submit.connect(arguments.address)
    job = submit.submit(client, ready)
    print(f"shipped {', '.join(f'{name} ({size:,} bytes)' for name, size in ready.shipped.items())} to {client.get_address()}")
    print(f"job {job} runs: {ready.entrypoint}", flush=True)
    if not arguments.follow:
        return _afterwards(submit.commands(client, job), ready)
    try:
        code = submit.follow(client, job)
    except KeyboardInterrupt:
        print(f"\nhqc: no longer watching; {job} goes on", file=sys.stderr)
        return _afterwards(submit.commands(client, job), ready)
    print(f"fetch the results: {_fetch(ready)}")
    return code


def _afterwards(commands: dict[str, str], ready: Submission) -> int:
    print(f"watch it:          {commands['watch']}")
    print(f"stop it:           {commands['stop']}")
    print(f"fetch the results: {_fetch(ready)}")
    return OK


def _fetch(ready: Submission) -> str:
    """The command of the cluster launcher; a path that is not absolute is one in the head's home."""
    return f"ray rsync-down cluster.yaml '{ready.results}/{ready.name}/' 'results/{ready.name}/'"
