"""The parser of `hqc`: an example and the defaults in every help, and an error that is one line and knows what was meant."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from typing import Any, NoReturn

from hqc_ray.errors import InputError, nearest, shown

DOCUMENTATION = "README.md and the folder docs/ of the repository"  # where the package's metadata name no address


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of bad input: one line, with the nearest name and the usage of the command it is of.

    Args:
        example: command lines, one a line, that the help shows.
        more: what else argparse takes.
    """

    def __init__(self, *, example: str = "", **more: Any) -> None:
        super().__init__(formatter_class=Help, **more)
        self.example = example
        self.set_defaults(command=self._help)

    def _help(self, arguments: argparse.Namespace) -> int:
        """What a command does that was given no sub-command."""
        self.print_help()
        return 0

    def format_help(self) -> str:
        """The help, its examples, and where to read on."""
        examples = "".join(f"\n  {line}" for line in self.example.splitlines())
        return f"{super().format_help()}\nexamples:{examples}\n\nread on: {_documentation()}\n"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        """Refuse here what no argument takes: of a sub-command argparse would only know at the top.

        Raises:
            InputError: there is some.
        """
        found, rest = super().parse_known_args(args, namespace)
        for text in rest:
            if text.startswith("-"):
                name = text.partition("=")[0]
                self.error(f"unknown option {shown(name)}{nearest(name, self._option_string_actions)}")
            self.error(f"{shown(text)} is one argument too many")
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            kind = "command" if isinstance(action, argparse._SubParsersAction) else "value"
            near = nearest(str(value), action.choices)
            raise InputError(f"unknown {kind} {shown(value)}{near}", where=self.prog, valid=", ".join(map(str, action.choices)))

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print.

        Raises:
            InputError: always.
        """
        usage = " ".join(self.format_usage().removeprefix("usage: ").replace("[-h] ", "").split())
        raise InputError(message, where=self.prog, valid=f"{self.prog} --help: {usage}")


class Help(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, and behind each option its default, where it has one and does not say so itself."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        silent = not action.option_strings or action.nargs == 0 or action.default in (None, argparse.SUPPRESS, "", [])
        return text if silent or "default" in text else f"{text} (default: {_written(action)})"


def _written(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return action.option_strings[0]
    return str(action.default)


def _documentation() -> str:
    """The address that the package's metadata name."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        for url in metadata.metadata("hqc_ray").get_all("Project-URL") or ():
            name, _, address = url.partition(", ")
            if name.lower() == "documentation":
                return address
    return DOCUMENTATION


def summary(about: str) -> dict[str, str]:
    """The line of a command in the list of commands, and the same as the first sentence of its own help."""
    return {"help": about, "description": f"{about[0].upper()}{about[1:]}."}


def group(parser: argparse.ArgumentParser, title: str, names: Iterable[str]) -> None:
    """Show the options `names` of a command under a title of their own."""
    found = parser.add_argument_group(title)
    for name in names:
        action = parser._option_string_actions[name]
        parser._optionals._group_actions.remove(action)
        found._group_actions.append(action)


def whole(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number of a range."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from {low:,} to {high:,}")
        return int(text)

    return number


def seconds(text: str) -> float:
    """The type of an option that takes a time, up to a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds, above 0 to 86,400")
    return value


WORKERS, PER_GPU = whole(1, 100_000), whole(1, 100)
COUNT = whole(0, 1_000_000)  # of something whose own range its room knows


def asked_for_help(arguments: Sequence[str]) -> list[str]:
    """`hqc help plan` as `hqc plan --help`."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else list(arguments)
