"""What the checks of a cluster file find: one line each, with what is wrong, where, and what would be valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hqc_ray.errors import InputError

WHOLE = "whole GPUs; only a trial takes a fraction of one"


@dataclass(frozen=True)
class Finding:
    """Something that a launch would fail on; as a warning, something that works but is rarely wanted.

    Args:
        where: the key in the file, with dots between its parts, or a thing on this machine.
        what: what is wrong, naming the offending value.
        valid: what would do.
        warning: the cluster would start in spite of it.
    """

    where: str
    what: str
    valid: str = ""
    warning: bool = False

    def at(self, where: str) -> Finding:
        """The same finding, with its place put in front."""
        return replace(self, where=f"{where}: {self.where}" if self.where else where)

    def __str__(self) -> str:
        """One line, in the form of every error of this package."""
        return str(InputError(self.what, where=self.where, valid=self.valid))


def unknown_key(where: str, key: str, valid: Iterable[str]) -> Finding:
    """A key that nothing reads, with the nearest one that something does."""
    names = sorted(valid)
    return Finding(f"{where}.{key}".lstrip("."), f"unknown key{nearest(key, names)}", ", ".join(names))


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion to append to an error: the most similar known name; empty if there is none."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def mapping(config: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of the file; empty if it is missing or not a mapping (the schema's check reports that)."""
    section = config.get(key)
    return section if isinstance(section, dict) else {}


def strings(config: dict[str, Any], key: str) -> list[str]:
    """A list of commands; empty if it is missing or not a list."""
    section = config.get(key)
    return [text for text in section if isinstance(text, str)] if isinstance(section, list) else []


def provider(config: dict[str, Any]) -> str:
    """The provider's type; empty where there is none."""
    kind = mapping(config, "provider").get("type")
    return kind if isinstance(kind, str) else ""
