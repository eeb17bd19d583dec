"""A user's own code that a sweep names as `package.module:name`: the files it consists of, to be shipped and to be keyed."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import os
import re
import shutil
import site
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hqc_ray.errors import SpecError
from hqc_ray.spec import NAMED, SweepSpec

OWN = re.compile(r"([A-Za-z_]\w*)(\.\w+)*:[A-Za-z_]\w*")
LIMIT_BYTES = 16 * 2**20  # code is small; larger files are data, which only the driver reads
SKIPPED = ("__pycache__", ".?*", "*.pem", "*.key", "*.p12", "*.pfx", "*.env")  # hidden files and keys are settings and secrets
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # a folder with one of them is a Python of its own
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
MANY = 10_000  # files of a package that are looked at
EVERYWHERE = "hqc_ray"  # every node has it, wherever this checkout of it lies
BESIDE = "HQC_MODULES_BESIDE"  # tells processes of this machine, such as Ray's, which folder `findable` has added


def findable(folder: str | Path) -> None:
    """Let Python find modules in a folder, such as that of a sweep file, here and in processes that are started from now on.

    It is searched last, so that it hides nothing (PYTHONPATH comes before Python's own modules); one that was added before
    is dropped.
    """
    place, old = str(Path(folder).resolve()), os.environ.pop(BESIDE, None)
    if old in sys.path:
        sys.path.remove(old)
    if place not in (str(Path(one).resolve()) for one in sys.path):
        sys.path.append(place)
        os.environ[BESIDE] = place
    importlib.invalidate_caches()


if BESIDE in os.environ:
    findable(os.environ[BESIDE])


def modules(spec: SweepSpec) -> list[Path]:
    """The modules (`name.py`) and packages (folders) that the sweep's `package.module:name` need and a node may lack.

    What their code imports from beside itself is followed, by its imports as they are written; what is installed in
    site-packages or belongs to Python is on every node. Nothing is imported.

    Raises:
        SpecError: a package is too large to be code, or has links that leave it.
    """
    found = _reachable(name.partition(":")[0].partition(".")[0] for name in names(spec))
    for name, paths in found.items():
        for path in paths:
            _check(path, name)
    return sorted({path for paths in found.values() for path in paths})


def names(spec: SweepSpec) -> list[str]:
    """All `package.module:name` of a sweep file."""
    return sorted({name for name in _names(spec.blocks) if OWN.fullmatch(name)})


@functools.cache
def with_code(name: str) -> str:
    """A user's own `package.module:name` with a digest of its code, so that edited code gives other keys.

    The code is all that `modules` would ship: its module or package with the data in it, and what that imports from beside
    itself; of what is too large to be shipped the Python files. A package that is installed counts by its version.
    """
    module, own, _ = str(name).partition(":")
    if not own:
        return name
    top = module.partition(".")[0]
    if version := _version(top):
        return f"{name}@{version}"
    digest = hashlib.sha256()
    try:
        paths = sorted({path for several in _reachable([top]).values() for path in several})
        for path in paths:
            for file in _counted(path):
                content = file.read_bytes()
                digest.update(f"{file.relative_to(path.parent).as_posix()} {len(content)} ".encode() + content)
    except OSError as problem:
        raise SpecError(f"code that cannot be read: {problem.strerror}", where=name, valid="files that can be read") from problem
    if not paths:  # of Python itself, or copied into site-packages by hand
        try:
            digest.update(inspect.getsource(importlib.import_module(module)).encode())
        except (ImportError, OSError, TypeError):
            return name
    return f"{name}@{digest.hexdigest()[:16]}"


def _version(package: str) -> str | None:
    """Of the distribution that installed a top-level package in site-packages; None of whatever lies elsewhere."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    if found is None or not any((found.origin or "").startswith(place) for place in places):
        return None
    owners = metadata.packages_distributions().get(package)
    return metadata.version(owners[0]) if owners else None


def _reachable(names: Iterable[str]) -> dict[str, list[Path]]:
    """Where the top-level modules `names` lie, and those that their code imports, and so on; by name."""
    found: dict[str, list[Path]] = {}
    waiting = sorted(set(names))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _paths(name)
            waiting += sorted({top for path in found[name] for top in _imports(path)})
    return found


def _counted(path: Path) -> list[Path]:
    """The files of a module or package that are part of keys; not what sweeps have written into it."""
    try:
        shipped = list(files(path))
        _check_size(path, shipped)
    except SpecError:  # never shipped
        shipped = sorted(path.rglob("*.py"))
    written = {file.parent for file in shipped if file.name == "rows.jsonl"}
    return [file for file in shipped if written.isdisjoint(file.parents)]


def files(path: Path) -> Iterator[Path]:
    """The regular files of a module or package that are shipped: no hidden ones, no private keys, no Python inside it.

    Raises:
        SpecError: a link that leaves the package or leads nowhere, or something that is no file or cannot be read.
    """
    waiting, count = [path], 0
    while waiting:
        here = waiting.pop()
        count += 1
        try:
            if here.is_symlink() and here != path:
                here.resolve(strict=True).relative_to(path.resolve())  # raises ValueError outside of it
            mode = here.stat().st_mode
            if stat.S_ISREG(mode):
                with here.open("rb") as file:
                    key = PRIVATE_KEY.search(file.read(4096))
                yield from () if key else (here,)
            elif stat.S_ISDIR(mode) and not here.is_symlink():
                inside = sorted(here.iterdir(), reverse=True)
                if not any(one.name in ENVIRONMENTS for one in inside):
                    waiting += [one for one in inside if not any(one.match(pattern) for pattern in SKIPPED)]
            else:
                raise _unshipped(here, path, "a link to a folder" if here.is_symlink() else "neither a file nor a folder")
        except ValueError as problem:
            raise _unshipped(here, path, "a link that leaves the package") from problem
        except RuntimeError as problem:  # of `resolve`
            raise _unshipped(here, path, "a link that leads to itself") from problem
        except OSError as problem:
            raise _unshipped(here, path, (problem.strerror or str(problem)).lower()) from problem
        if count > MANY:
            raise SpecError(f"more than {MANY:,} files", where=str(path), valid="a package of code: data beside it, not in it")


def copy(path: Path, folder: Path) -> Path:
    """Copy a module or package into `folder`, as it is shipped; where it lies there."""
    for file in files(path):
        target = folder / file.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder / path.name


def _unshipped(here: Path, package: Path, problem: str) -> SpecError:
    what = f"{here.relative_to(package.parent)} cannot be shipped to the nodes: {problem}"
    return SpecError(what, where=str(package), valid="a package of regular files, or links to files in it")


def size(path: Path) -> int:
    """Bytes of a module or package as it is shipped."""
    return sum(file.stat().st_size for file in files(path))


def _names(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for inner, part in value.items():
            yield from _names(part, inner)
            if key == "members":  # of an ensemble: attacks by their names
                yield str(inner)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _names(part, key)
    elif isinstance(value, str) and key in NAMED:
        yield value


def _paths(name: str) -> list[Path]:
    """Where a top-level module or package lies; empty if nodes have it too, or if it does not exist (planning reports that)."""
    if name == EVERYWHERE or name in sys.stdlib_module_names:
        return []
    try:
        spec: ModuleSpec | None = find_spec(name)
    except (ImportError, ValueError):  # a module without a specification, such as __main__
        return []
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or []) or [spec.origin or ""]
    return [path for place in places if (path := Path(place).resolve()).exists() and not _installed(path)]


def _installed(path: Path) -> bool:
    known = {*(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")), *site.getsitepackages()}
    return any(path.is_relative_to(Path(place).resolve()) for place in known if place)


def _imports(path: Path) -> Iterator[str]:
    """The top-level names that the code at `path` imports, wherever in it."""
    for file in _counted(path):
        if file.suffix == ".py":
            try:
                tree = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # importing it will raise the same error
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module.partition(".")[0]


def _check(path: Path, name: str) -> None:
    """Refuse what cannot be shipped, or would have another name on the nodes."""
    if path.name.partition(".")[0] != name:
        raise SpecError(f"the module {name!r} is a link to it, and would have another name on the nodes", where=str(path))
    _check_size(path, list(files(path)))


def _check_size(path: Path, shipped: list[Path]) -> None:
    total = sum(file.stat().st_size for file in shipped)
    if total > LIMIT_BYTES:
        largest = max(shipped, key=lambda file: file.stat().st_size)
        raise SpecError(
            f"the sweep's own code is {total / 2**20:,.0f} MiB; its largest file is {largest.relative_to(path.parent)}",
            where=str(path), valid=f"at most {LIMIT_BYTES // 2**20} MiB to ship to the nodes: data beside the package, not in it",
        )  # fmt: skip
