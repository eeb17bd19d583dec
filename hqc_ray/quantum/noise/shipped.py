"""The fake backends of qiskit-ibm-runtime, as far as its files tell: what it takes to import the package is most of a plan."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from pathlib import Path

NOT_MACHINES = {"FakeProviderForBackendV2", "FakeFractionalBackend"}
PACKAGE = "qiskit_ibm_runtime"
QUIET = {"cambridge"}  # some of its pulses carry no error: whether its noise acts on a circuit must be looked at
_IMPORT = re.compile(r"^from \.(\w+) import (Fake\w+)$", re.MULTILINE)


def plain(name: str) -> str:
    """What fake_manila, FakeManilaV2, Fake-Manila and manila have in common."""
    found = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^fake", "", re.sub(r"v2$", "", found))


def there(package: str) -> bool:
    """Whether a package, or module of one, is installed; it is not imported."""
    try:
        return (package in sys.modules and sys.modules[package] is not None) or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def sizes() -> dict[str, int]:
    """The qubits of each fake backend, by the plain form of its name; nothing where the package or such files are missing."""
    found = importlib.util.find_spec(PACKAGE) if there(PACKAGE) else None
    if found is None or found.origin is None:
        return {}
    folder = Path(found.origin).parent / "fake_provider" / "backends"
    try:
        names = _IMPORT.findall((folder / "__init__.py").read_text())
        return {plain(name): size for part, name in names if name not in NOT_MACHINES and (size := _size(folder / part))}
    except OSError:
        return {}


def takes(machine: str, n_qubits: int) -> bool:
    """Whether a machine is known to run circuits of `n_qubits`, and each of its pulses to carry an error."""
    name = plain(machine)
    return machine.startswith("fake_") and name not in QUIET and n_qubits <= sizes().get(name, 0)


def _size(folder: Path) -> int | None:
    """The qubits of a machine, by the head of the one file that describes it."""
    for file in folder.glob("conf_*.json"):
        found = re.search(r'"n_qubits": *([0-9]+)', file.read_text())
        return int(found[1]) if found else None
    return None
