"""Fetch PatchCamelyon's official files (CC0) from their Zenodo record, https://zenodo.org/records/2546921."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hqc_ray.data.sources.pcam import SPLITS, file_name
from hqc_ray.errors import DataError, WriteError, unknown
from hqc_ray.files import write

ZENODO = "https://zenodo.org/records/2546921/files"
MD5 = {  # of the .gz files, as torchvision.datasets.PCAM lists them too
    "camelyonpatch_level_2_split_train_x.h5": "1571f514728f59376b705fc836ff4b63",
    "camelyonpatch_level_2_split_train_y.h5": "35c2d7259d906cfc8143347bb8e05be7",
    "camelyonpatch_level_2_split_valid_x.h5": "d5b63470df7cfa627aeec8b9dc0c066e",
    "camelyonpatch_level_2_split_valid_y.h5": "2b85f58b927af9964a4c15b8f7e8f179",
    "camelyonpatch_level_2_split_test_x.h5": "d8c2d60d490dbd479f8199bdfa0cf6ec",
    "camelyonpatch_level_2_split_test_y.h5": "60a7035772fbdb7f34eb86d4420cf66a",
}
_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes received so far, and the bytes there are (None: the server does not say)."""


def fetch_pcam(
    dest: str | Path,
    splits: Sequence[str] = SPLITS,
    base_url: str = ZENODO,
    checksums: Mapping[str, str] = MD5,
    progress: Progress | None = None,
    opener: Callable[..., Any] = urllib.request.urlopen,
) -> list[Path]:
    """Download, verify and unpack the HDF5 files of `splits` into `dest`; what is there already is left as it is.

    A file has its official name only once it is complete. An interrupted download is continued by the next call. All three
    splits are 8 GB packed and 9 GB unpacked.

    Args:
        dest: folder; made if need be.
        splits: of 'train', 'valid', 'test'.
        base_url: http(s) address that the `.gz` files' names are appended to.
        checksums: MD5 of the `.gz` by the official name of what is in it; a file without an entry is not verified.
        progress: see `Progress`.
        opener: as `urllib.request.urlopen`.

    Returns:
        The files' paths, two for each split.

    Raises:
        DataError: an unknown split, no network, a broken or wrong download, no space; it says how to do it by hand.
    """
    for split in splits:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS, DataError)
    if not base_url.startswith(("https://", "http://")):
        raise DataError(f"address {base_url!r}", where="base_url", valid="https://... or http://...")
    folder = Path(dest).expanduser()
    files = [folder / file_name(split, part) for split in splits for part in ("y", "x")]
    for file in files:
        url = f"{base_url.rstrip('/')}/{file.name}.gz"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                _fetch(url, file, checksums.get(file.name), progress or _silent, opener)
        except (OSError, WriteError, http.client.HTTPException) as problem:  # urllib's errors are OSErrors
            raise DataError(f"cannot get {url}: {_reason(problem)}", where=str(folder), valid=_by_hand(url, folder)) from problem
    return files


def _fetch(url: str, file: Path, md5: str | None, progress: Progress, opener: Callable[..., Any]) -> None:
    """One file: download to .gz.part, verify, unpack."""
    packed = file.with_name(f"{file.name}.gz.part")
    _download(url, packed, lambda done, total: progress(file.name, done, total), opener)
    if md5 is not None and _md5(packed) != md5:
        packed.unlink()
        raise DataError(f"{url} does not have the MD5 {md5}; deleted", where=str(file), valid=_by_hand(url, file.parent))

    def unpack(target: Path) -> None:
        try:
            with gzip.open(packed, "rb") as source, target.open("wb") as opened:
                shutil.copyfileobj(source, opened, _BLOCK_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            packed.unlink()
            raise DataError(f"{url} is not a gzip file; deleted", where=str(file), valid=_by_hand(url, file.parent)) from problem

    write(file, unpack)
    packed.unlink()


def _download(url: str, packed: Path, report: Callable[[int, int | None], None], opener: Callable[..., Any]) -> None:
    """The bytes of `url` into `packed`, continuing where an earlier download stopped."""
    done = packed.stat().st_size if packed.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - fetch_pcam allows http and https only
    try:
        response = opener(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        problem.close()
        if done and problem.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to ask for: all of it came before; the checksum decides
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            done = 0  # the server starts anew
        left = response.headers.get("Content-Length")
        total = done + int(left) if left is not None else None
        with packed.open("ab" if done else "wb") as target:
            while block := response.read(_BLOCK_BYTES):
                target.write(block)
                done += len(block)
                report(done, total)
    if total is not None and done < total:
        raise OSError(f"the connection broke after {done} of {total} bytes; the same command continues")


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reason(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        return f"HTTP {problem.code} {problem.reason}"
    return str(getattr(problem, "reason", "") or problem or type(problem).__name__)


def _by_hand(url: str, folder: Path) -> str:
    return f"by hand: curl -LO {url} && gunzip {url.rsplit('/', 1)[-1]}, and move the .h5 to {folder}"


def _silent(name: str, done: int, total: int | None) -> None:
    """No progress is shown."""
