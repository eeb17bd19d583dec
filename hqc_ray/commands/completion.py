"""`hqc completion`: what a shell needs to complete commands, options and files; made by shtab, so that no TAB starts Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any

from hqc_ray.commands.parser import Parser, summary

EXAMPLE = """\
eval "$(hqc completion bash)"                        # in ~/.bashrc
hqc completion zsh > ~/.zsh/completions/_hqc         # in a folder of $fpath"""
SHELLS = ("bash", "zsh", "tcsh")
FILES, FOLDERS = ("file", "draw", "sheet"), ("folder", "results", "download", "to")


def add(known: Any, whole: argparse.ArgumentParser) -> None:
    """Add `completion` to the commands of `hqc`."""
    completion = known.add_parser("completion", **summary("print what makes a shell complete `hqc`"), example=EXAMPLE)
    completion.add_argument("shell", choices=SHELLS, help=", ".join(SHELLS))
    completion.set_defaults(command=partial(_completion, whole))


def _completion(whole: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    import shtab

    for action in _actions(whole):
        if action.dest in FILES + FOLDERS:
            action.complete = shtab.FILE if action.dest in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(whole, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner) if isinstance(inner, Parser) else ()
