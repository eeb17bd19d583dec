"""What a launch needs on this machine: ssh and rsync, a key, a token, the files that it sends, a folder for results."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hqc_ray.cluster.finding import Finding, mapping
from hqc_ray.cluster.start import TOKEN

LARGE = 100 * 2**20  # bytes of a mount: sent to every node that starts, and read on each `ray up`


def tools(config: dict[str, Any]) -> Iterator[Finding]:
    """`ray up` calls ssh and rsync by name."""
    for tool, package in (("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(tool) is None:
            yield Finding("this machine", f"no {tool}, which `ray up` calls", f"apt-get install {package}, or the like")


def key(config: dict[str, Any]) -> Iterator[Finding]:
    """The private key: there, readable by its owner alone, and without a passphrase, since the head uses it unattended."""
    name = mapping(config, "auth").get("ssh_private_key")
    if not isinstance(name, str):
        return  # Ray makes one (aws, gcp), or ssh's own settings have one
    path, where = Path(name).expanduser(), "auth.ssh_private_key"
    if not path.is_file():
        yield Finding(where, f"no such file: {name}", "ssh-keygen -t ed25519")
        return
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as problem:
        yield Finding(where, f"{name} cannot be read: {problem.strerror}", "a key of this user")
        return
    if path.stat().st_mode & 0o077:
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding(where, f"others may read {name} (mode {mode:o}), so ssh refuses it", f"chmod 600 {name}")
    if "PRIVATE KEY" not in text:
        yield Finding(where, f"{name} is no private key", "the file without .pub")
    elif _encrypted(text):
        yield Finding(where, f"{name} has a passphrase, which the head could not type", "a key without one, for this cluster")


def _encrypted(text: str) -> bool:
    if "OPENSSH" not in text:
        return "ENCRYPTED" in text
    try:  # "openssh-key-v1", a zero byte, and the cipher's name after its length (PROTOCOL.key of OpenSSH)
        body = base64.b64decode("".join(line for line in text.splitlines() if "-----" not in line))
    except ValueError:
        return False
    return not body[15:].startswith(b"\0\0\0\4none")


def mounts(config: dict[str, Any]) -> Iterator[Finding]:
    """Each file mount: there, readable, and small enough to be sent to every node."""
    for remote, local in mapping(config, "file_mounts").items():
        path, where = Path(str(local)).expanduser(), f"file_mounts.{remote}"
        if str(remote).endswith(TOKEN):
            yield from _token(where, path)
        elif not path.exists():
            beside = "" if path.is_absolute() else f" in {Path.cwd()}"
            yield Finding(where, f"no such file: {local}{beside}", "a file or folder here")
        elif (size := total(path)) > LARGE:
            what = f"{local} has {size / 2**20:,.0f} MB, sent to every node and read on each `ray up`"
            yield Finding(where, what, "code alone; the driver ships data and weights", warning=True)


def _token(where: str, path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(where, f"no token: {path}", "ray get-auth-token --generate")
    elif not path.read_text(encoding="ascii", errors="replace").strip():
        yield Finding(where, f"empty: {path}", "ray get-auth-token --generate, after deleting it")
    elif path.stat().st_mode & 0o077:
        yield Finding(where, f"others on this machine may read {path}", f"chmod 600 {path}", warning=True)


def total(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    inside = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in inside)


def results(folder: str) -> Iterator[Finding]:
    """The folder that a driver here would write to, or the one that it would be made in."""
    path = Path(folder).resolve()
    there = next(p for p in (path, *path.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as problem:
        yield Finding("--results", f"{there} cannot be written: {problem.strerror}", "a folder on a disk of this machine")
