"""Artifacts carry the digest of their content in the comment at the end of their zip, where other readers pass over it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import numpy as np

_MARK = b"hqc-seal "
_LONGEST = 600  # bytes of a seal
_END, _END_BYTES = b"PK\5\6", 22  # of a zip; its last two bytes are the length of the comment


class DamagedError(Exception):
    """The content of a file is not what was written."""


def sealed(content: bytes, name: str) -> bytes:
    """`content` (npz, or what torch saves: a zip without a comment) with its digest, and the name of what it is."""
    comment = _MARK + f"{hashlib.sha256(content).hexdigest()} {name}".encode()
    return content[:-2] + len(comment).to_bytes(2, "little") + comment


def opened(content: bytes, name: str | None = None) -> tuple[bytes, bool]:
    """What was sealed, and whether it was: files of earlier versions carry no seal.

    Args:
        content: of the file.
        name: that it should have; None: any.

    Raises:
        DamagedError: the digest is another one, it is another artifact, or (without a seal) no zip with good checksums.
    """
    at = content.rfind(_MARK, -_LONGEST) if len(content) > _LONGEST else content.rfind(_MARK)
    if at < 2:
        _check_sums(content)
        end = content.rfind(_END) + _END_BYTES
        return content[: end - 2] + b"\0\0", False  # without the rest of a seal that is broken
    digest, _, own = content[at + len(_MARK) :].decode(errors="replace").partition(" ")
    plain = content[: at - 2] + b"\0\0"
    if hashlib.sha256(plain).hexdigest() != digest:
        raise DamagedError("its content is not what was written")
    if name is not None and own != name:
        raise DamagedError(f"it is {own}")
    return plain, True


def npz(arrays: dict[str, Any]) -> bytes:
    """The content of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz file.

    Raises:
        DamagedError: it is none.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return dict(found)
    except Exception as problem:  # the reader of a damaged file may raise anything
        raise DamagedError("it is no npz file") from problem


def _check_sums(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            bad = archive.testzip()
    except Exception as problem:  # see `arrays`
        raise DamagedError("it is truncated, or no artifact at all") from problem
    if bad is not None:
        raise DamagedError("its content is not what was written")
