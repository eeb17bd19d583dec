"""What the checks of a cluster file find: one line each, that says what is wrong, where, and what would be valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hqc_ray.errors import InputError

WHOLE = "whole GPUs; it is a trial that takes a fraction of one"


@dataclass(frozen=True)
class Finding:
    """Something that a launch would fail on; as a warning, something that it would do and hardly anybody wants.

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
    """The question after what is wrong: the known name that is most like it; empty where none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def mapping(config: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of the file; empty where it is missing or no mapping, which the schema's check has said."""
    section = config.get(key)
    return section if isinstance(section, dict) else {}


def strings(config: dict[str, Any], key: str) -> list[str]:
    """A list of commands, in the same spirit."""
    section = config.get(key)
    return [text for text in section if isinstance(text, str)] if isinstance(section, list) else []


def provider(config: dict[str, Any]) -> str:
    """The provider's type; empty where there is none."""
    kind = mapping(config, "provider").get("type")
    return kind if isinstance(kind, str) else ""
