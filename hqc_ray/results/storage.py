"""The durable mirror of a results folder, in a bucket or on a mounted path, for a head that may vanish with its disk.

    <storage>/<sweep>/rows/<n>-<digest>.jsonl   segments of the ledger: one per append, never rewritten
    <storage>/<sweep>/models/..., examples/..., sweep.yaml, cells.json, provenance.json, table.md, ...   as in the results folder
    <storage>/<sweep>/lease.json                which driver writes here (`lease.py`)
    <storage>/<sweep>/.cache/...                features, surrogates and starts that this sweep made

A segment's name holds the digest of its content, which reveals a segment that a dead driver left half-written; it is set aside.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pyarrow import fs

from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.files import write
from hqc_ray.results.lease import Lease
from hqc_ray.spec import STORAGE_FORMS

ATTEMPTS = 5  # of each request to a bucket, with growing pauses: about ten seconds
THREADS = 16  # parallel requests, where many small objects are fetched
MAX_SEGMENTS = 500  # more are packed into one when a sweep starts
SEGMENT = re.compile(r"(\d{8})-([0-9a-f]{32})\.jsonl")
REASONS = {
    "NO_SUCH_BUCKET": "no such bucket",
    "RESOURCE_NOT_FOUND": "no such bucket",
    "NETWORK_CONNECTION": "cannot be reached",
    "REQUEST_TIMEOUT": "cannot be reached",
    "SLOW_DOWN": "asks for fewer requests",
}
T = TypeVar("T")
R = TypeVar("R")


class Storage:
    """One sweep's part of a storage; its driver is the only writer.

    Requests are tried `ATTEMPTS` times. What fails then is a ResultsError until `opened` is set, and a WriteError afterwards.

    Args:
        uri: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `file:///FOLDER` or the path of a folder. Credentials, region and
            endpoint of S3 come from where AWS's own tools look (AWS_ENDPOINT_URL, AWS_REGION, ~/.aws, the instance's role).
        sweep: its name.
        report: called with a line about what takes time and what is damaged.
        read_only: nothing is written, and no lease is taken.

    Raises:
        ResultsError: it cannot be reached or written to, or another driver is at work there.
    """

    def __init__(self, uri: str, sweep: str, report: Callable[[str], None] = lambda _: None, read_only: bool = False) -> None:
        self.uri, self.sweep, self.report, self.opened, self.read_only = uri, sweep, report, False, read_only
        self.process = os.getpid()
        self.local: Path | None = None  # the root, where it is a folder
        with self._errors():
            self.fs = self._connect()
        name = f"{sweep}/lease.json"
        self.lease = Lease(lambda: self.get(name), lambda c: self._put(name, c), lambda: self._delete(name), uri, report)
        if not read_only:
            self.lease.acquire()
        try:
            self.names = set(self._list(sweep))
        except BaseException:
            if not read_only:
                self.lease.release()
            raise
        self.number = max((int(n) for n, _, _ in self._segments()), default=0)

    def _connect(self) -> fs.FileSystem:
        """Every name below is relative to what this returns."""
        parts = urlsplit(self.uri)
        root = f"{parts.netloc}{parts.path}".rstrip("/")
        if parts.scheme == "s3":
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            if not region and not endpoint:
                region = fs.resolve_s3_region(parts.netloc)
            bucket = fs.S3FileSystem(
                endpoint_override=endpoint, region=region, connect_timeout=5, request_timeout=60, allow_delayed_open=True,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
            )  # fmt: skip
            return fs.SubTreeFileSystem(root, bucket)
        if parts.scheme in ("gs", "gcs"):
            return fs.SubTreeFileSystem(root, fs.GcsFileSystem(retry_time_limit=timedelta(seconds=10)))
        self.local = Path(parts.path if parts.scheme == "file" else self.uri).expanduser().resolve()
        if not self.local.is_dir():  # a mount that is missing must not become a folder on the disk that may vanish
            raise ResultsError("no such folder; is it mounted?", where=f"storage {self.uri}", valid=STORAGE_FORMS)
        return fs.SubTreeFileSystem(str(self.local), fs.LocalFileSystem())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn an error into one line; of a service's message only the error code is kept, which never holds a secret."""
        try:
            yield
        except (OSError, WriteError) as problem:
            found = re.search(r"AWS Error ([A-Z_]+)|Status\((\w+)", str(problem))
            code = next(filter(None, found.groups())) if found else ""
            plain = str(problem) if isinstance(problem, WriteError) else problem.strerror
            reason = REASONS.get(code) or (f"refused: {code}" if code else plain or "cannot be used")
            if self.opened:
                text = f"storage {self.uri}: {reason}; what was done is kept here, and the next run uploads it"
                raise WriteError(text) from problem
            raise ResultsError(reason, where=f"storage {self.uri}", valid=STORAGE_FORMS) from problem

    # objects

    def get(self, name: str) -> bytes | None:
        """The object of this name; None if there is none."""
        with self._errors():
            try:
                with self.fs.open_input_stream(name) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def put(self, name: str, content: bytes) -> None:
        """Store an object: whole and durable when this returns, or not at all.

        A forked child uploads nothing (connections do not survive a fork); the driver does, when it loads what the child wrote.

        Raises:
            WriteError: the storage cannot be reached, or another driver took it over.
        """
        if os.getpid() != self.process:
            return
        if self.lease.lost:
            raise WriteError(f"storage {self.uri}: another driver has taken it over; what was done is kept here")
        self._put(name, content)
        self.names.add(name)

    def _put(self, name: str, content: bytes) -> None:
        with self._errors():
            if self.local:
                write(self.local / name, content)  # pyarrow would neither rename nor sync
            else:
                with self.fs.open_output_stream(name) as stream:
                    stream.write(content)

    def _delete(self, name: str) -> None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self.fs.delete_file(name)

    def _list(self, under: str) -> list[str]:
        with self._errors():
            found = self.fs.get_file_info(fs.FileSelector(under, recursive=True, allow_not_found=True))
        return [f.path for f in found if f.type == fs.FileType.File and not f.base_name.startswith(".")]

    def level(self, pairs: Iterable[tuple[Path, str]]) -> None:
        """Copy each file to the side that lacks it: here (its path) or the storage (its name)."""

        def one(pair: tuple[Path, str]) -> None:
            path, name = pair
            if name not in self.names and path.exists():
                self.put(name, path.read_bytes())
            elif name in self.names and not path.exists() and (content := self.get(name)) is not None:
                write(path, content)

        if os.getpid() == self.process:  # see `put`
            _each(one, [(path, name) for path, name in pairs if (name in self.names) != path.exists()])

    # the ledger

    def append(self, text: str) -> None:
        """Add rows, as lines: one segment, durable when this returns."""
        self.number += 1
        content = text.encode()
        self.put(f"{self.sweep}/rows/{self.number:08d}-{_digest(content)}.jsonl", content)

    def segments(self) -> Iterator[bytes]:
        """The rows of every complete segment, oldest first; half-written ones are set aside."""
        found = sorted(self._segments())
        for (_, digest, name), content in zip(found, _each(lambda s: self.get(s[2]), found), strict=True):
            if content is not None and _digest(content) == digest:
                yield content
            elif not self.read_only:
                self.report(f"storage {self.uri}: {name} is damaged, and set aside")
                self.put(f"{name}.bad", content or b"")
                self._forget(name)

    def pack(self, ledger: Path) -> None:
        """Replace many segments by one with the whole ledger; the old ones are deleted once the new one is written."""
        old = [name for _, _, name in self._segments()]
        if len(old) > MAX_SEGMENTS:
            self.append(ledger.read_text(encoding="utf-8"))
            _each(self._forget, old)

    def _segments(self) -> list[tuple[str, str, str]]:
        """Number, digest and name of each segment."""
        names = [n for n in self.names if n.startswith(f"{self.sweep}/rows/")]
        return [(m[1], m[2], n) for n in names if (m := SEGMENT.fullmatch(n.rpartition("/")[2]))]

    def _forget(self, name: str) -> None:
        self._delete(name)
        self.names.discard(name)

    # the end

    def publish(self, folder: Path, paths: Iterable[Path]) -> None:
        """Mirror a report, and delete figures that it no longer has. Needs no lease: a report can be made again from the rows."""
        names = {f"{self.sweep}/{path.relative_to(folder).as_posix()}": path for path in paths}
        for name, path in names.items():
            self._put(name, path.read_bytes())
        for name in self.names - names.keys():
            if name.startswith(f"{self.sweep}/figures/"):
                self._delete(name)

    def close(self) -> None:
        """Release the lease."""
        self.lease.release()


def _each(do: Callable[[T], R], items: list[T]) -> list[R]:
    """Run requests in parallel; the first failure ends them all."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        return list(pool.map(do, items))
    finally:
        pool.shutdown(cancel_futures=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
