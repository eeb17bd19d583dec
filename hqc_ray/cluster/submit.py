"""A sweep as a Ray job: the driver runs on the head, so the laptop may be closed.

What is shipped is the sweep file and the code that it names, nothing else. The rest is the head's own: its data and weights, its
environment as `ray start` found it, and the results folder, which `hqc sweep` locks as it does everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from hqc_ray import __version__, spec, usercode
from hqc_ray.errors import HqcError, InputError
from hqc_ray.files import scratch
from hqc_ray.redaction import PRIVATE, has_credentials, holds_private_value

ADDRESS = "http://127.0.0.1:8265"  # the dashboard, as `ray dashboard cluster.yaml` brings it here
OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray prefers these to the address it is given
UNREACHED = f"the head's dashboard, {ADDRESS} with `ray dashboard cluster.yaml` running in another terminal"
ACCESS = "RAY_AUTH_MODE=token, and the cluster's token where Ray looks for it: ~/.ray/auth_token or RAY_AUTH_TOKEN_PATH"
CHATTY = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging")  # of Ray, at INFO
SETTLE_SECONDS, POLL_SECONDS = 30.0, 0.2  # the logs end a moment before the job's status does


class SubmitError(HqcError):
    """The job server refused or failed a request."""


@dataclass(frozen=True)
class Submission:
    """A sweep file that is ready to be shipped.

    Args:
        name: of the sweep.
        file: the sweep file.
        modules: the files and folders of code that it names.
        results: the parent of the results folder on the head, relative to the home folder there unless absolute.
        env: settings for the job's processes, added to what the head has.
        options: of `hqc sweep`, as they are typed.
    """

    name: str
    file: Path
    modules: list[Path]
    results: str
    env: dict[str, str]
    options: tuple[str, ...] = ()

    @property
    def entrypoint(self) -> str:
        """The command that the head runs."""
        results = self.results if self.results.startswith("/") else f"$HOME/{self.results}"
        quoted = "/".join(part if part == "$HOME" else shlex.quote(part) if part else "" for part in results.split("/"))
        command = f"hqc sweep {shlex.quote(self.name + '.yaml')} --address auto --results {quoted}"
        return " ".join([command, *(shlex.quote(option) for option in self.options)])

    @property
    def shipped(self) -> dict[str, int]:
        """What is shipped, and how many bytes of it."""
        return {path.name: usercode.size(path) for path in (self.file, *self.modules)}


def prepare(file: str | Path, results: str = "results", env: list[str] | None = None, options: Iterable[str] = ()) -> Submission:
    """Validate what can be validated without the head's data; computes and ships nothing.

    Args:
        file: a sweep file.
        results: the parent of the results folder on the head.
        env: NAME=VALUE, each.
        options: further ones of `hqc sweep`, as they are typed.

    Raises:
        InputError: not a sweep file, an unknown key or a value out of range, code that cannot be shipped, a secret in an option.
    """
    options = tuple(options)
    for name, text in itertools.pairwise(("--results", results, *options)):
        spec.no_credentials(text, name)
        if name == "--storage":
            spec.storage_uri(text, name)
    loaded = spec.load(file)
    usercode.findable(Path(file).parent)
    with spec.on_lines(loaded.places, loaded.file):
        for _ in loaded.points():  # says which block is wrong; names, data and weights are checked on the head
            pass
    results = results.removeprefix("~/").rstrip("/") or "results"
    settings = dict(_setting(text) for text in env or [])
    return Submission(loaded.name, Path(file), usercode.modules(loaded), results, settings, tuple(options))


def connect(address: str | None) -> JobSubmissionClient:
    """A client of the job server at `address`. Ray finds the token of a cluster that asks for one by itself.

    Raises:
        InputError: not a dashboard's address, nothing that answers, or a token that is missing or wrong.
    """
    address = address or os.environ.get(OVERRIDES[0]) or ADDRESS
    where = f"--address {address}"
    for name in CHATTY:
        logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)
    if has_credentials(address):
        raise InputError("a URL with a user, a password or a token in it", where="--address", valid=f"{UNREACHED}; {ACCESS}")
    if not re.match(r"https?://[^/]", address):
        raise InputError("not the address of a dashboard", where=where, valid=UNREACHED)
    try:
        with _without(OVERRIDES):
            return JobSubmissionClient(address.rstrip("/"))
    except AuthenticationError as problem:
        raise InputError("the cluster does not accept this machine's token", where=where, valid=ACCESS) from problem
    except (ConnectionError, RuntimeError, ValueError, requests.RequestException) as problem:
        raise InputError(f"no job server answers: {problem}", where=where, valid=UNREACHED) from problem


def submit(client: JobSubmissionClient, submission: Submission) -> str:
    """Ship the sweep and start its driver on the head; the job's id.

    Raises:
        InputError: the same sweep is running there, into the same results.
        SubmitError: the job server refused the job.
    """
    facts = {"sweep": submission.name, "results": submission.results, "hqc_ray": __version__}
    with _one_line():
        _alone(client, submission)
        with scratch("submit") as folder:
            shutil.copyfile(submission.file, folder / f"{submission.name}.yaml")
            for path in submission.modules:  # on the driver's path and the workers', as the working directory is
                usercode.copy(path, folder)
            env = {"working_dir": str(folder), "env_vars": submission.env}
            return client.submit_job(
                entrypoint=submission.entrypoint, metadata=facts, runtime_env=env,
                submission_id=f"hqc-{submission.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
            )  # fmt: skip


def _alone(client: JobSubmissionClient, submission: Submission) -> None:
    """Refuse a sweep that is running already. Of two submitted at once, the lock of the results folder refuses the second."""
    for job in client.list_jobs():
        theirs = job.metadata or {}
        same = (theirs.get("sweep"), theirs.get("results")) == (submission.name, submission.results)
        if same and not job.status.is_terminal():
            watch = commands(client, str(job.submission_id))["watch"]
            problem = f"this sweep is running there already, as job {job.submission_id}"
            raise InputError(problem, where=submission.name, valid=f"to watch it: {watch}")


def follow(client: JobSubmissionClient, job: str) -> int:
    """Print what the driver prints until it ends; its exit code. Ctrl-C leaves it running.

    Raises:
        SubmitError: the connection was lost, and the job goes on; or it ended without a driver's exit code.
    """

    async def tail() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="", flush=True)

    with _one_line():
        asyncio.run(tail())
        deadline = time.monotonic() + SETTLE_SECONDS
        while not (info := client.get_job_info(job)).status.is_terminal() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if not info.status.is_terminal():
        raise SubmitError(f"{job}: the connection was lost; the job goes on")
    if info.driver_exit_code is None and info.status != JobStatus.SUCCEEDED:
        raise SubmitError(f"{job}: {info.status.lower()}: {' '.join((info.message or '').split())}")
    return info.driver_exit_code or 0


def commands(client: JobSubmissionClient, job: str) -> dict[str, str]:
    """What to type to watch and to stop a job."""
    there = f"--address {client.get_address()}"
    return {"watch": f"ray job logs --follow {there} {job}", "stop": f"ray job stop {there} {job}"}


def _setting(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE; no secrets, since everybody who sees this machine's processes or the dashboard can read them."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise InputError("not a setting", where=f"--env {name}", valid="NAME=VALUE")
    if PRIVATE.search(name) or has_credentials(value) or holds_private_value(value):
        raise InputError("a secret does not belong on a command line", where=f"--env {name}", valid="export it on the head")
    return name, value


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Reduce the job server's answer, which holds a traceback, to the line that says what is wrong."""
    try:
        yield
    except (ConnectionError, RuntimeError, requests.RequestException, aiohttp.ClientError, AuthenticationError) as problem:
        lines = [line for line in str(problem).strip().splitlines() if line.strip()] or [type(problem).__name__]
        raise SubmitError(f"the job server says: {lines[-1].strip()}") from problem
