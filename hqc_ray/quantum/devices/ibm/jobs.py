"""What was submitted to a quantum computer and what came back, kept in a folder so that nothing is paid for twice.

`jobs.jsonl` has one line per event, appended as soon as it happens; `<key>.npz` holds the results of a finished job. The key is a
digest of the job's content. No line names an account: who pays is known to qiskit-ibm-runtime alone.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hqc_ray import files, locks
from hqc_ray.errors import DeviceError, WriteError

VARIABLE = "HQC_JOBS"
DEFAULT = Path("results/.cache/ibm_jobs")


class Jobs:
    """The jobs of a folder, which several processes may share.

    Args:
        folder: made when the first job is recorded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed_here: dict[str, str] = {}  # key -> why; another process may try once more, this one not

    def latest(self, key: str, field: str = "key") -> dict[str, Any] | None:
        """The last record of a key (or of another field): event ('submitted' or 'failed'), key, job, backend, ..."""
        return next((record for record in reversed(self._records()) if record.get(field) == key), None)

    def under_way(self, model: str) -> list[dict[str, Any]]:
        """The records of the jobs of a model that were submitted and did not fail."""
        records = self._records()
        last = {record.get("key"): record.get("event") for record in records}
        return [record for record in records if record.get("model") == model and last[record.get("key")] == "submitted"]

    def _records(self) -> list[dict[str, Any]]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / "jobs.jsonl").read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # a line that a power cut left half
                    found.append(json.loads(line))
        return found

    def record(self, event: str, key: str, **facts: Any) -> None:
        """Append a line; it is on the disk when this returns.

        Raises:
            DeviceError: it cannot be written.
        """
        line = json.dumps({"event": event, "key": key, **facts, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        with self._writable():
            handle = files.open_regular(self.folder / "jobs.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                size = os.fstat(handle).st_size
                torn = size and os.pread(handle, 1, size - 1) != b"\n"
                os.write(handle, (("\n" if torn else "") + line + "\n").encode())
                os.fsync(handle)
            finally:
                os.close(handle)

    def kept(self, key: str) -> np.ndarray | None:
        """The results of a finished job: counts [N, 2**Q], or expectations with their standard errors [N, 2, Q]."""
        path = self.folder / f"{key}.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["counts"])

    def keep(self, key: str, results: np.ndarray) -> None:
        """Write the results of a finished job to its file, whole or not at all; see `kept`.

        Raises:
            DeviceError: they cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(content, counts=results)  # so called in files of before
        with self._writable():
            files.write(self.folder / f"{key}.npz", content.getvalue())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let only one process at a time look for a job and submit it.

        Raises:
            DeviceError: the folder cannot be written to, found out before anything is paid for.
        """
        with contextlib.ExitStack() as stack:
            with self._writable():
                stack.enter_context(locks.take(self.folder / "lock", wait=True))
            yield

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
        except (OSError, WriteError) as problem:
            what = f"cannot write the record of IBM jobs: {getattr(problem, 'strerror', problem)}"
            raise DeviceError(what, where=str(self.folder), valid=f"export {VARIABLE}=a folder that can be written") from problem


def pin() -> None:
    """Make the default folder absolute for this process and those that it starts, wherever they run."""
    os.environ.setdefault(VARIABLE, str(DEFAULT.resolve()))


def here() -> Jobs:
    """The jobs of the folder in the environment, or of the default one."""
    return _at(Path(os.environ.get(VARIABLE) or DEFAULT).resolve())


@functools.cache
def _at(folder: Path) -> Jobs:
    return Jobs(folder)
