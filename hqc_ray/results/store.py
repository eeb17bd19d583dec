"""The results folder and the cache beside it. One driver owns a folder, and is the only one that writes to it."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from hqc_ray import __version__, locks
from hqc_ray.errors import ResultsError
from hqc_ray.files import write
from hqc_ray.results.folder import EXAMPLES, MODELS, Folder
from hqc_ray.results.ledger import Ledger
from hqc_ray.spec import SweepSpec

PACKAGES = (
    "ray", "torch", "torchvision", "pennylane", "pennylane-lightning", "pennylane-qiskit", "qiskit", "qiskit-aer",
    "qiskit-ibm-runtime", "numpy", "scipy", "pandas", "h5py", "pydantic",
)  # fmt: skip
MIRRORED = (f"{MODELS}/", f"{EXAMPLES}/", "provenance.json", "sweep.yaml")  # what the rows alone cannot give again

if TYPE_CHECKING:
    from hqc_ray.results.storage import Storage


class Store:
    """A results folder: ledger, models, examples, provenance; and the cache that sweeps of one parent folder share.

    The lock is flock's: on NFS it holds across hosts (Linux makes it a lock of the server), where it is mounted without `nolock`
    or `local_lock`; a file system with locks per host (most FUSE mounts of buckets) does not keep two hosts apart. With a
    `storage`, its lease does.

    Args:
        folder: `results/<sweep>`; created if it does not exist.
        spec: the sweep that it belongs to.
        storage: a durable mirror of the folder; what one side lacks is copied from the other.
        report: called with a line about what takes time there.

    Raises:
        ResultsError: not writable, another driver is at work in it, it belongs to another sweep, or the storage cannot be used.
    """

    def __init__(
        self, folder: Path, spec: SweepSpec, storage: str | None = None, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder, self.at, self.spec = folder, Folder(folder), spec
        self.storage: Storage | None = None
        self.cache = Path(os.environ.get("HQC_CACHE") or folder.parent / ".cache")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = locks.take(folder / ".lock")
        except locks.Held as holder:
            valid = "wait for it, or end it there (what it has done is kept), or another --results"
            raise ResultsError(
                f"another driver is at work in this results folder: {holder}", where=str(folder), valid=valid
            ) from holder
        except locks.NoLocks as problem:
            valid = "a folder on a file system with locks"
            raise ResultsError(f"cannot lock it: {problem.strerror}", where=str(folder), valid=valid) from problem
        except OSError as problem:
            where = str(problem.filename or folder)
            raise ResultsError(f"cannot write to the results folder: {problem.strerror}", where=where) from problem
        try:
            self._claim(spec)
            self.ledger = Ledger(self.at.ledger)
            if storage:
                self._open(storage, spec, report)
        except BaseException:
            self.close()
            raise

    def _open(self, uri: str, spec: SweepSpec, report: Callable[[str], None]) -> None:
        """Bring folder and storage to the same state; from then on every write goes to both."""
        from hqc_ray.results.merge import merge
        from hqc_ray.results.storage import Storage  # imports pyarrow, only where it is asked for

        self.storage = storage = Storage(uri, spec.name, report)
        if storage.local == self.folder.parent.resolve():
            raise ResultsError("the storage is the results folder itself", where=f"storage {uri}", valid="another place")
        there = {n.partition("/")[2] for n in storage.names if n.startswith(f"{spec.name}/")}
        here = {p.relative_to(self.folder).as_posix() for kind in MIRRORED for p in self.folder.glob(f"{kind}*")}
        names = {n for n in there | here if n.startswith((*MIRRORED, ".cache/")) and not n.endswith((".tmp", ".bad"))}
        paths = {self.cache / n.removeprefix(".cache/") if n.startswith(".cache/") else self.folder / n for n in names}
        storage.level((path, self._name(path)) for path in sorted(paths))
        merge(self.ledger, storage)
        self.ledger.mirror = storage.append
        storage.opened = True

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file here and in the storage."""
        write(path, content)
        if self.storage:
            self.storage.put(self._name(path), content)

    def _name(self, path: Path) -> str:
        """The name of a file in the storage."""
        if path.is_relative_to(self.folder):
            return f"{self.spec.name}/{path.relative_to(self.folder).as_posix()}"
        return f"{self.spec.name}/.cache/{path.relative_to(self.cache).as_posix()}"

    def _claim(self, spec: SweepSpec) -> None:
        """A folder keeps the name of its sweep; the grid may grow, and rows of cells that left it stay in the ledger."""
        _check_cache(self.cache)
        path = self.at.sweep
        try:
            owner = yaml.safe_load(path.read_text())["name"] if path.exists() else None
        except OSError as problem:
            raise ResultsError(f"cannot read it: {problem.strerror}", where=str(path)) from problem
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError) as problem:
            raise ResultsError(
                "sweep.yaml is damaged", where=str(self.folder), valid="another --results, or a repaired file"
            ) from problem
        stranger = owner is None and self.at.ledger.exists()
        if stranger or owner not in (None, spec.name):
            raise ResultsError(
                f"the results folder belongs to another sweep, {owner!r}", where=str(self.folder), valid="another --results"
            )

    def begin(self, keys: list[str]) -> None:
        """Store the file of a valid sweep and the keys of its cells in order; rows of other cells stay in the ledger."""
        self._write(self.at.sweep, yaml.safe_dump(self.spec.model_dump(mode="json"), sort_keys=False).encode())
        self._write(self.at.cells, json.dumps(keys, indent=0).encode())

    def close(self) -> None:
        """Unlock the folder; it is removed if nothing was begun in it."""
        if [path.name for path in self.folder.iterdir()] == [".lock"]:
            (self.folder / ".lock").unlink()
            self.folder.rmdir()
        if self.storage:
            self.storage.close()
        self._lock.close()

    def artifact_path(self, id: str) -> Path:
        """The path of a job's artifact: models are in the folder, what sweeps share is in the cache."""
        kind, _, rest = id.partition("/")
        suffix = ".npz" if kind == "features" else ".pt"
        root = self.at.models if kind == "model" else self.cache / kind
        return root / f"{rest}{suffix}"

    def save(self, id: str, artifact: Any) -> None:
        """Store an artifact: arrays as npz, a model's or surrogate's bytes as they are."""
        content = artifact if isinstance(artifact, bytes) else _npz(artifact)
        self._write(self.artifact_path(id), content)
        if id.startswith("model/"):
            write(self.cache / f"{id}.pt", content)

    def load(self, id: str) -> Any | None:
        """The artifact of a job, made by this sweep or another; None if there is none."""
        path = self.artifact_path(id)
        if self.storage:
            self.storage.level([(path, self._name(path))])
        copies = [path, self.cache / f"{id}.pt"] if id.startswith("model/") else [path]
        for copy in (c for c in copies if c.exists()):
            found = _intact(copy)
            if found is None:
                _set_aside(copy)
                continue
            if copy != path:
                self._write(path, found)
            return found
        return None

    def features(self, features_key: str) -> Iterable[tuple[str, np.ndarray]]:
        """The cached chunks of features: their ids, and the hashes of the images in them."""
        for path in sorted((self.cache / "features" / features_key).glob("*.npz")):
            try:
                yield f"features/{features_key}/{path.stem}", _arrays(path)["hashes"]
            except Exception:  # see `_intact`
                _set_aside(path)

    def save_example(self, name: str, arrays: dict[str, Any]) -> None:
        """Store the first images of a cell, clean and adversarial."""
        self._write(self.folder / name, _npz(arrays))

    def save_provenance(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Versions, commit and hardware of this run, after those of earlier runs; never a path, a user or a secret."""
        path = self.at.provenance
        try:
            earlier = json.loads(path.read_text())["runs"] if path.exists() else []
        except (ValueError, KeyError, TypeError):
            _set_aside(path)
            earlier = []
        run = {
            "hqc_ray": __version__,
            "commit": _commit(),
            "python": platform.python_version(),
            "packages": {p: _version(p) for p in PACKAGES},
            "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
            **facts,
        }
        provenance = {"runs": [*earlier, run]}
        self._write(path, json.dumps(provenance, indent=1).encode())
        return provenance


def _check_cache(folder: Path) -> None:
    """Refuse a cache that cannot be written to now, not after minutes of extracting features."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        where, valid = str(folder), "HQC_CACHE=FOLDER that can be written to"
        raise ResultsError(f"cannot write to the cache: {problem.strerror}", where=where, valid=valid) from problem


def _intact(path: Path) -> Any | None:
    """What an artifact's file holds; None if it is damaged."""
    try:
        if path.suffix == ".npz":
            return _arrays(path)
        with zipfile.ZipFile(path) as archive:  # torch, which reads it later, does not look at the checksums
            return path.read_bytes() if archive.testzip() is None else None
    except PermissionError as problem:  # a file that cannot be opened is not a damaged one
        raise ResultsError(f"cannot read it: {problem.strerror}", where=str(path)) from problem
    except Exception:  # the reader of a damaged file may raise anything
        return None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _set_aside(path: Path) -> None:
    """Rename a damaged file, so that it is made again."""
    path.replace(path.with_name(path.name + ".bad"))


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the code that runs, with '+' behind it where the package has changes."""
    try:
        return _git("rev-parse", "HEAD").strip() + ("+" if _git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    here = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout
