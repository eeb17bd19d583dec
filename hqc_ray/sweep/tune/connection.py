"""Ray on this machine, or a cluster that is joined: the way in and the way out."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray

from hqc_ray.usercode import SKIPPED

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
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

    Args:
        address: of a running cluster; None: this machine.
        workers: CPUs to use on this machine; None: all of them.
        modules: files and folders of the user's code that every node of a cluster gets.
        name: of the sweep; its namespace begins with it, and is no other's.

    Raises:
        ConnectionError: no cluster at the address, or none that lets this process in.
    """
    os.environ.update(TUNE_SETTINGS)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    options["namespace"] = f"{name}-{uuid.uuid4().hex[:8]}"
    options["runtime_env"] = {"env_vars": THREADS}
    if modules:
        options["runtime_env"] |= {"py_modules": [str(path) for path in modules], "excludes": list(SKIPPED)}
    if address:
        try:
            ray.init(address=address, **options)
        except ray.exceptions.AuthenticationError as problem:
            raise ConnectionError(str(problem).split(". ")[0]) from problem
    else:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **options)
    return int(ray.cluster_resources().get("CPU", 0))


def disconnect() -> None:
    """Leave the cluster, and end the Ray that `connect` started; no other."""
    ray.shutdown()
