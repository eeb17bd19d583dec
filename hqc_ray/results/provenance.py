"""What a run ran on: versions, commit and hardware; never a path, a user or a secret."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from hqc_ray import __version__

PACKAGES = (
    "ray", "torch", "torchvision", "pennylane", "pennylane-lightning", "pennylane-qiskit", "qiskit", "qiskit-aer",
    "qiskit-ibm-runtime", "numpy", "scipy", "pandas", "h5py", "pydantic",
)  # fmt: skip


def of_run(facts: dict[str, Any]) -> dict[str, Any]:
    """What is known of this process, and other `facts` of its run."""
    return {
        "hqc_ray": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {p: _version(p) for p in PACKAGES},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        **facts,
    }


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
