"""Where in a sweep file something stands: the places that errors name, such as `blocks[0].attack[1].epsilon`, as lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from hqc_ray.errors import InputError

_LAST = re.compile(r"(\.[^.\[\]]+|\[\d+\]|^[^.\[\]]+)$")
_QUOTED = re.compile(r"'([^']*)'")
Lines = Mapping[str, tuple[int, str]]  # by place: the line, and the value that stands there, if it is one


def of_node(root: yaml.Node | None) -> Lines:
    """The places of a document; what a block takes from `defaults` has its line there."""
    found = dict(_below(root, ""))
    if isinstance(root, yaml.MappingNode):
        parts = {key.value: value for key, value in root.value}
        blocks = parts.get("blocks")
        for i, block in enumerate(blocks.value if isinstance(blocks, yaml.SequenceNode) else [None]):
            found |= {**dict(_below(parts.get("defaults"), f"blocks[{i}]")), **dict(_below(block, f"blocks[{i}]"))}
    return found


def lined(problem: InputError, lines: Lines, file: str) -> InputError:
    """An error of a file with the line of what it is about: the name that it quotes, else its place."""
    place, name = problem.where, _QUOTED.search(problem.what)
    if not file or (place != file and not place.startswith(f"{file}: ")):
        return problem
    rest = place.removeprefix(file).removeprefix(": ")
    place = rest.partition(": ")[0]
    name = name if place in lines or not place else None  # what is not in the file quotes nothing of it
    while place and place not in lines:
        place = _LAST.sub("", place) if _LAST.search(place) else ""
    inside = (line for other, (line, value) in lines.items() if name and _within(other, place) and _is(other, value, name[1]))
    line = next(inside, lines[place][0] if place else 0)
    where = f"{file}, line {line}" if line else file
    return type(problem)(problem.what, where=f"{where}: {rest}" if rest else where, valid=problem.valid)


def number(problem: InputError) -> int:
    """The line that `lined` found; 0 where there is none."""
    found = re.search(r", line (\d+)(?=: |$)", problem.where)
    return int(found[1]) if found else 0


def _within(other: str, place: str) -> bool:
    """Whether `other` is a place or within it; in the file itself, where `place` is empty, only what stands at its top."""
    if not place:
        return "." not in other and "[" not in other
    return other.startswith((f"{place}.", f"{place}[")) or other == place


def _is(place: str, value: str, name: str) -> bool:
    return name in (value, place.rpartition(".")[2])


def _below(node: yaml.Node | None, place: str) -> Iterator[tuple[str, tuple[int, str]]]:
    """Everything that stands in a node, by its place; of a list with one entry also without its index, as errors write it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                inner = f"{place}.{key.value}" if place else str(key.value)
                yield inner, (key.start_mark.line + 1, str(value.value) if isinstance(value, yaml.ScalarNode) else "")
                yield from _below(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            inner = f"{place}[{i}]"
            yield inner, (value.start_mark.line + 1, str(value.value) if isinstance(value, yaml.ScalarNode) else "")
            yield from _below(value, inner)
        if len(node.value) == 1:
            yield from _below(node.value[0], place)
