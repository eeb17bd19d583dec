"""`hqc`: plan, run and report sweeps; look at data, circuits, devices. Bad input is one line on standard error, exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from hqc_ray import __version__
from hqc_ray.commands import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    OK,
    Parser,
    cluster,
    completion,
    data,
    export,
    listing,
    plan,
    quantum,
    shipped,
    status,
    submit,
    sweep,
)
from hqc_ray.commands.parser import asked_for_help
from hqc_ray.errors import HqcError, InputError
from hqc_ray.redaction import clean

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "OK", "main", "parser"]

ABOUT = "How robust is a hybrid quantum-classical image classifier, and is it the circuit that makes the difference?"
EXAMPLE = """\
hqc init                    # write a sweep file into this folder, to begin with
hqc plan quickstart.yaml    # check it, and see what it would do
hqc sweep quickstart.yaml   # run it; the same command goes on where it was
hqc help sweep              # the help of a command"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the libraries are imported: workers, not threads, fill the cores
    warnings.formatwarning, sys.excepthook = _warning, _uncaught
    try:
        arguments = parser().parse_args(asked_for_help(sys.argv[1:] if argv is None else argv))
        return int(arguments.command(arguments))
    except InputError as problem:
        for one in problem.all:
            print(f"hqc: error: {clean(str(one))}", file=sys.stderr)
        return BAD_INPUT
    except HqcError as problem:
        print(f"hqc: {clean(str(problem))}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("hqc: interrupted; what was done is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `hqc ... | head`: the reader has gone
        return OK


def _uncaught(*problem: Any) -> None:
    """What no room expected: a traceback, as Python prints it, which a job's log keeps."""
    print(clean("".join(traceback.format_exception(*problem))), end="", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line as `argparse` knows it."""
    made = Parser(prog="hqc", description=ABOUT, example=EXAMPLE)
    made.add_argument("--version", action="version", version=f"hqc_ray {__version__}")
    known = made.add_subparsers(metavar="COMMAND", title="commands")
    for command in (shipped, plan, sweep, status, export, data, quantum, listing, cluster, submit):
        command.add(known)
    completion.add(known, made)
    return made


def _warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning of ours is for the user: one line, without the place in the code. Others are for developers, and keep it."""
    if Path(__file__).parent in Path(filename).parents:
        return f"hqc: {clean(str(message))}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


if __name__ == "__main__":
    sys.exit(main())
