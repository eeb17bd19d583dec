"""The sweep files that come with the package, found by their names; `hqc init` writes one of them into the current folder."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import hqc_ray
from hqc_ray.commands.parser import summary
from hqc_ray.errors import InputError, natural, unknown

FOLDER = Path(hqc_ray.__file__).parent / "sweeps"  # in the repository a link to the folder `sweeps`
SWEEP = "a sweep file such as mine.yaml, or the name of one that comes with hqc_ray, such as quickstart"
EXAMPLE = """\
hqc init              # quickstart.yaml: a circuit and its control, minutes on a laptop
hqc init controls     # is a circuit more robust than the same bottleneck without one?"""


def add(known: Any) -> None:
    """Add `init` to the commands of `hqc`."""
    about = summary("write a commented sweep file into this folder, to change and to run")
    init = known.add_parser("init", **about, example=EXAMPLE)
    init.add_argument("name", nargs="?", default="quickstart", help=f"{', '.join(names())} (default: quickstart)")
    init.set_defaults(command=_init)


def names() -> list[str]:
    """Of the sweep files that come with the package, the demo first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != "quickstart", natural(name)))


def sweep_file(given: str) -> Path:
    """The path of a sweep file: one that is there, or one that comes with the package, by its name.

    Raises:
        InputError: a name that is neither.
    """
    path, there = Path(given), os.path.exists(given)  # which takes names that are too long
    if given in names() and (not there or os.path.isdir(given)):
        return FOLDER / f"{given}.yaml"
    if not there and path.name == given and path.suffix and path.stem in names():
        valid = f"hqc init {path.stem} writes it; or its name alone, {path.stem}"
        raise InputError("cannot read the sweep file: No such file or directory", where=given, valid=valid)
    if not there and path.name == given and not path.suffix:
        _known(given)
    return path


def _known(name: str) -> str:
    if name not in names():
        raise unknown("sweep", name, ["FILE.yaml", *names()])
    return name


def _init(arguments: argparse.Namespace) -> int:
    content = (FOLDER / f"{_known(arguments.name)}.yaml").read_bytes()
    path = Path(f"{arguments.name}.yaml")
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as problem:
        raise InputError(
            "is there already, and stays as it is", where=str(path), valid="another folder, or another name"
        ) from problem
    except OSError as problem:
        raise InputError(f"cannot be written: {problem.strerror}", where=str(path), valid="a folder of yours") from problem
    print(f"{path}: change it as you like, then\n  hqc plan {path}\n  hqc sweep {path}")
    return 0
