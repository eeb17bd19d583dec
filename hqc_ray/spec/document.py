"""A sweep file as plain data: what may stand in it is little, and all else is refused before anything is built of it."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import yaml

from hqc_ray.errors import SpecError
from hqc_ray.spec import lines
from hqc_ray.spec.lines import Lines

MAX_BYTES = 64 * 1024  # of a file: 64 KiB, some 15,000 values
MAX_VALUES = 100_000  # of a document, repeated ones counted as often as they stand there
MAX_DEPTH = 20  # of values in values
MAX_TEXT = 1000  # characters of one text
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what no name, path or number has
_STANDARD = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?")


def read(path: Path) -> tuple[Any, Lines]:
    """What a YAML file holds (mappings with texts as keys, lists, texts, booleans, decimal numbers, null), and on which lines.

    Raises:
        SpecError: no file that can be read, too large, or YAML beyond this: tags, merge keys, duplicate keys, dates, numbers that
            are not decimal or not finite, texts with control characters, values nested or repeated without end.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (None, {}) if node is None else (loader.construct_document(node), lines.of_node(node))
    except _Refused as problem:
        raise SpecError(problem.what, where=f"{path.name}, line {problem.line}", valid=problem.valid) from problem
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or str(problem)
        raise SpecError(f"not YAML: {what}", where=f"{path.name}{line}") from problem


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device may never end
            kind = "Is a directory" if path.is_dir() else "not a file"
            raise SpecError(f"cannot read the sweep file: {kind}", where=str(path), valid="a file of YAML")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise SpecError(f"cannot read the sweep file: {reason}", where=str(path)) from problem
    if len(content) > MAX_BYTES:
        raise SpecError("too large for a sweep file", where=str(path), valid=f"up to {MAX_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise SpecError("cannot read the sweep file: not a text file in UTF-8", where=str(path)) from problem
    if not text.strip():
        raise SpecError("the file is empty", where=path.name, valid="a sweep, such as sweeps/quickstart.yaml")
    return text


class _Refused(Exception):
    """YAML, but none of a sweep file."""

    def __init__(self, what: str, mark: yaml.Mark, valid: str) -> None:
        super().__init__(what)
        self.what, self.line, self.valid = what, mark.line + 1, valid


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for less than YAML."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.values = 0
        self.sizes: dict[int, int] = {}  # of each whole node: its values

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One value and all within it; an alias counts as what it stands for."""
        event, before, alias = self.peek_event(), self.values, self.check_event(yaml.AliasEvent)
        if tag := getattr(event, "tag", None):
            raise _Refused(f"a tag, {tag.replace(_STANDARD, '!!')[:40]}", event.start_mark, "values without tags")
        if self.depth == MAX_DEPTH:
            raise _Refused("values nested too deeply", event.start_mark, f"{MAX_DEPTH} levels at most")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        self.values += self.sizes.get(id(node), MAX_VALUES) if alias else 1  # one that is not whole contains itself
        if self.values > MAX_VALUES:
            raise _Refused("too many values", event.start_mark, f"{MAX_VALUES:,} at most, repetitions by *name counted")
        self.sizes.setdefault(id(node), self.values - before)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse duplicate keys, of which YAML keeps the last one silently, merges, and keys that are no text."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == f"{_STANDARD}merge":
                raise _Refused("a merge key, <<", key.start_mark, "keys written out; `defaults` are merged into each block")
            if key.tag != f"{_STANDARD}str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _Refused(f"a key that is no text: {shown[:40]}", key.start_mark, "names; in quotes any word is text")
            if key.value in seen:
                raise _Refused(f"duplicate key {key.value[:40]!r}", key.start_mark, "each key once")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def text(self, node: yaml.ScalarNode) -> str:
        """A text of one line."""
        if len(node.value) > MAX_TEXT or _CONTROL.search(node.value):
            what = "control characters" if len(node.value) <= MAX_TEXT else f"{len(node.value):,} characters"
            raise _Refused(f"a text with {what}", node.start_mark, f"printable ones, up to {MAX_TEXT:,}")
        return str(node.value)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """A decimal number: YAML would read 010 as 8, 1:30 as 90, and 1_0 as 10."""
        if _INTEGER.fullmatch(node.value):
            return int(node.value)
        if node.tag.endswith(":float") and _FLOAT.fullmatch(node.value) and abs(float(node.value)) < float("inf"):
            return float(node.value)
        what = f"not a decimal, finite number: {node.value[:40]}"
        raise _Refused(what, node.start_mark, "12, 0.5 or 1e-3, up to 100 digits; in quotes it is text")

    def date(self, node: yaml.ScalarNode) -> None:
        """Nothing in a sweep file is a date."""
        raise _Refused(f"a date, {node.value[:40]}", node.start_mark, f"'{node.value[:40]}': in quotes it is text")


for _name, _reader in {"str": _Loader.text, "int": _Loader.number, "float": _Loader.number, "timestamp": _Loader.date}.items():
    _Loader.add_constructor(_STANDARD + _name, _reader)
# 1e-3, which YAML 1.1 takes for a text
_Loader.add_implicit_resolver(_STANDARD + "float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))
