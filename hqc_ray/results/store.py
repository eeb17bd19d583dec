"""The results folder and the cache beside it. One driver owns a folder, and is the only one that writes to it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from hqc_ray import locks
from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.files import write
from hqc_ray.results.folder import EXAMPLES, KEPT, MODELS, Folder
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.provenance import of_run
from hqc_ray.results.seal import DamagedError, arrays, npz, opened, sealed
from hqc_ray.results.status import RUNNING
from hqc_ray.spec import SweepSpec

# what the rows alone cannot give again
MIRRORED = (f"{MODELS}/", f"{EXAMPLES}/", f"{KEPT}/", "provenance.json", "sweep.yaml", "training.csv")

if TYPE_CHECKING:
    import pandas as pd

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
        report: called with a line about what takes time in the storage, and about what is damaged.

    Raises:
        ResultsError: not writable, another driver is at work in it, it belongs to another sweep, or the storage cannot be used.
    """

    def __init__(
        self, folder: Path, spec: SweepSpec, storage: str | None = None, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder, self.at, self.spec, self.report = folder, Folder(folder), spec, report
        self.storage: Storage | None = None
        self.cache = Path(os.environ.get("HQC_CACHE") or folder.parent / ".cache")
        try:
            self._made = [p for p in (folder, *folder.parents, self.cache, *self.cache.parents) if not p.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            self._lock, self._facts = locks.take(self.at.lock), locks.facts()
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
            owner = yaml.safe_load(path.read_text(encoding="utf-8"))["name"] if path.exists() else None
        except OSError as problem:
            raise ResultsError(f"cannot read it: {problem.strerror}", where=str(path)) from problem
        except (yaml.YAMLError, TypeError, KeyError, ValueError) as problem:
            raise ResultsError(
                "sweep.yaml is damaged", where=str(self.folder), valid="another --results, or a repaired file"
            ) from problem
        if owner is None and self.at.ledger.exists():
            valid = "another --results, or the sweep.yaml that was there"
            raise ResultsError("the results folder has rows, but no sweep.yaml", where=str(self.folder), valid=valid)
        if owner not in (None, spec.name):
            raise ResultsError(
                f"the results folder belongs to another sweep, {owner!r}", where=str(self.folder), valid="another --results"
            )

    def begin(self, keys: list[str]) -> None:
        """Store the file of a valid sweep and the keys of its cells in order; rows of other cells stay in the ledger."""
        self._write(self.at.sweep, yaml.safe_dump(self.spec.model_dump(mode="json"), sort_keys=False).encode())
        self._write(self.at.cells, json.dumps(keys, indent=0).encode())

    def note(self, told: Mapping[str, Any]) -> None:
        """Write down what `hqc status` reads, here and into the storage's lease; if that fails, nothing is lost."""
        facts = {**self._facts, "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **told}
        content = json.dumps(facts).encode()
        with contextlib.suppress(WriteError):
            write(self.at.status, content)
            if self.storage:
                self.storage.lease.note = facts  # which the lease's own thread writes while it lives
                if facts.get("state") != RUNNING:
                    self.storage.put(self._name(self.at.status), content)

    def close(self) -> None:
        """Unlock the folder; what was made of it, and of the cache, is removed if nothing was begun in it."""
        if list(self.folder.iterdir()) == [self.at.lock]:
            self.at.lock.unlink()
            for made in self._made:
                with contextlib.suppress(OSError):  # it holds something
                    made.rmdir()
        if self.storage:
            self.storage.close()
        self._lock.close()

    def artifact_path(self, id: str) -> Path:
        """The path of a job's artifact: models are in the folder, what sweeps share is in the cache."""
        kind, _, rest = id.partition("/")
        suffix = ".npz" if kind in HOLDS else ".pt"
        root = self.at.models if kind == "model" else self.cache / kind
        return root / f"{rest}{suffix}"

    def save(self, id: str, artifact: Any) -> None:
        """Store an artifact, sealed: arrays as npz, a model's or surrogate's bytes as they are."""
        content = sealed(artifact if isinstance(artifact, bytes) else npz(artifact), id)
        self._write(self.artifact_path(id), content)
        if id.startswith("model/"):
            write(self.cache / f"{id}.pt", content)

    def load(self, id: str, check: Callable[[bytes], object] | None = None) -> Any | None:
        """The artifact of a job, made by this sweep or another; None if there is none. Damaged ones are set aside.

        Args:
            id: of the job.
            check: raises something for the bytes of what is no model or surrogate; asked about files of earlier versions, which
                are then sealed.

        Raises:
            ResultsError: a file cannot be read.
        """
        path = self.artifact_path(id)
        for copy in [path, self.cache / f"{id}.pt"] if id.startswith("model/") else [path]:
            if self.storage and copy == path:
                self.storage.level([(path, self._name(path))])
            if not copy.exists():
                continue
            try:
                plain, artifact, told = self._opened(copy, id, check)
            except DamagedError as problem:
                self._set_aside(copy, f"{id} is damaged: {problem}")
                continue
            if copy != path or not told:
                self._write(path, sealed(plain, id))
            return artifact
        return None

    def _opened(self, path: Path, id: str, check: Callable[[bytes], object] | None) -> tuple[bytes, Any, bool]:
        """An artifact's bytes, what they hold, and whether its file need not be sealed now."""
        try:
            content = path.read_bytes()
        except OSError as problem:
            where, valid = str(path), "a file that can be read"
            raise ResultsError(f"cannot be read: {problem.strerror}", where=where, valid=valid) from problem
        plain, was_sealed = opened(content, id)
        if path.suffix == ".npz":
            found = arrays(plain)
            what, holds = HOLDS[id.partition("/")[0]]
            if not holds(found):
                raise DamagedError(f"it holds no {what}")
            return plain, found, was_sealed
        if not was_sealed and check is not None:
            try:
                check(plain)
            except Exception as problem:  # the reader of a damaged file may raise anything
                raise DamagedError("it is something else") from problem
        return plain, plain, was_sealed or check is None

    def features(self, features_key: str) -> Iterable[tuple[str, np.ndarray]]:
        """The cached chunks of features: their ids, and the hashes of the images in them."""
        for path in sorted((self.cache / "features" / features_key).glob("*.npz")):
            id = f"features/{features_key}/{path.stem}"
            if (found := self.load(id)) is not None:
                yield id, found["hashes"]

    def save_example(self, name: str, arrays: dict[str, Any]) -> None:
        """Store images of a cell, clean and adversarial, sealed: the first ones, or all."""
        self._write(self.folder / name, sealed(npz(arrays), name))

    def is_whole(self, name: str) -> bool:
        """Whether a file with images is there, as it was written; a damaged one is set aside.

        Raises:
            ResultsError: it cannot be read.
        """
        path = self.folder / name
        try:
            opened(path.read_bytes(), name)
        except FileNotFoundError:
            return False
        except DamagedError as problem:
            self._set_aside(path, f"{name} is damaged: {problem}")
            return False
        except OSError as problem:
            where, valid = str(path), "a file that can be read"
            raise ResultsError(f"cannot be read: {problem.strerror}", where=where, valid=valid) from problem
        return True

    def _set_aside(self, path: Path, why: str) -> None:
        """Rename a damaged file, so that it is made again."""
        path.replace(path.with_name(f"{path.name}.bad"))
        self.report(f"{why}; set aside as {path.name}.bad, and made again")

    def save_training(self, histories: pd.DataFrame) -> None:
        """Write down how the models were trained, epoch by epoch."""
        self._write(self.at.training, histories.to_csv(index=False, float_format="%.5g").encode())

    def save_provenance(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Versions, commit and hardware of this run, after those of earlier runs; never a path, a user or a secret."""
        path = self.at.provenance
        try:
            earlier = self.at.facts().get("runs", [])
        except ResultsError:
            self._set_aside(path, "provenance.json is damaged")
            earlier = []
        provenance = {"runs": [*earlier, of_run(facts)]}
        self._write(path, json.dumps(provenance, indent=1).encode())
        return provenance


def _is_chunk(found: dict[str, np.ndarray]) -> bool:
    """Whether these are hashes [n] and features [n, F]."""
    hashes, features = found.get("hashes"), found.get("features")
    return hashes is not None and features is not None and features.ndim == 2 and hashes.shape == features.shape[:1]


def _is_start(found: dict[str, np.ndarray]) -> bool:
    """Whether these are epsilons [N] at which images fell, those [n, ...] that did, and the gradients [E] of epsilons [E]."""
    fell, values, epsilons, gradients = (found.get(name) for name in ("fell", "values", "epsilons", "gradients"))
    if fell is None or values is None or epsilons is None or gradients is None:
        return False
    return fell.ndim == epsilons.ndim == 1 and epsilons.shape == gradients.shape and len(values) == np.isfinite(fell).sum()


HOLDS: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], bool]]] = {  # what an npz of each kind of artifact is
    "features": ("features", _is_chunk),
    "start": ("adversarial images", _is_start),
}


def _check_cache(folder: Path) -> None:
    """Refuse a cache that cannot be written to now, not after minutes of extracting features."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        where, valid = str(folder), "HQC_CACHE=FOLDER that can be written to"
        raise ResultsError(f"cannot write to the cache: {problem.strerror}", where=where, valid=valid) from problem
