"""Ray on this machine, or a cluster that is joined: the way in and the way out."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

from hqc_ray import usercode
from hqc_ray.errors import HqcError
from hqc_ray.files import scratch
from hqc_ray.guard import one_line
from hqc_ray.sweep.tune import place

LOOPBACK = "127.0.0.1"
CLUSTERS = "ENABLE_RAY_CLUSTER", ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR  # whether Ray leaves loopback: here, in its processes
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
WITHHELD = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), "")
TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # TensorBoard files, which take half the time and 500 MB
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours also tells an interrupted run from a finished one
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own snapshot is never read: the ledger is what a sweep resumes from
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # in a submitted job, what is set here is added to what came with the job
}


def connect(address: str | None, workers: int | None, modules: Iterable[Path] = (), name: str = "hqc") -> int:
    """Start Ray on this machine with `workers` CPUs, or join the cluster at `address`; the number of CPUs there.

    A Ray that is started here listens on loopback alone. Workers get no storage's credentials: the driver alone writes.

    Args:
        address: of a running cluster; None: this machine.
        workers: CPUs to use on this machine; None: all of them.
        modules: files and folders of the user's code that every node of a cluster gets.
        name: of the sweep; its namespace begins with it, and is no other's.

    Raises:
        ConnectionError: no cluster at the address, or none that lets this process in.
        InputError: no folder for Ray's sockets.
        HqcError: Ray cannot start on this machine.
    """
    os.environ.update(TUNE_SETTINGS)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    options["namespace"] = f"{name}-{uuid.uuid4().hex[:8]}"
    options["runtime_env"] = {"env_vars": THREADS | WITHHELD}
    if address:
        _join(address, modules, options)
    else:
        _start(workers, options)
    return int(ray.cluster_resources().get("CPU", 0))


def _join(address: str, modules: Iterable[Path], options: dict[str, Any]) -> None:
    with scratch("code") as folder:
        copies = [usercode.copy(path, folder) for path in modules]
        options["runtime_env"] |= {"py_modules": [str(path) for path in copies]} if copies else {}
        try:
            ray.init(address=address, **options)
        except ray.exceptions.AuthenticationError as problem:
            raise ConnectionError(str(problem).split(". ")[0]) from problem


def _start(workers: int | None, options: dict[str, Any]) -> None:
    folder = str(place.folder())
    try:
        with _loopback():
            ray.init(
                address="local", num_cpus=workers, include_dashboard=False, _temp_dir=folder, _node_ip_address=LOOPBACK, **options
            )
    except Exception as problem:  # Ray raises its own errors, and plain ones where a part of it does not start in time
        what = f"Ray cannot start on this machine: {one_line(str(problem))}; its logs: {folder}"
        raise HqcError(f"{what}; try again where less is running, or --serial, which needs no Ray") from problem


@contextmanager
def _loopback() -> Iterator[None]:
    """What Ray does on machines without clusters: it keeps loopback's address, which it would replace, and binds to it."""
    here, below = CLUSTERS
    before, given = getattr(ray_constants, here), os.environ.get(below)
    setattr(ray_constants, here, False)
    os.environ[below] = "0"
    try:
        yield
    finally:
        setattr(ray_constants, here, before)
        os.environ.pop(below)
        os.environ.update({} if given is None else {below: given})


def disconnect() -> None:
    """Leave the cluster, and end the Ray that `connect` started; no other."""
    ray.shutdown()
