"""Reading a sweep file: a list is an axis; the grid is the product of all axes of a block."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hqc_ray.entries import explain
from hqc_ray.errors import SpecError, unknown
from hqc_ray.spec.sections import SECTIONS, Point, Section

S = TypeVar("S", bound=Section)
_FACE = ("name", "storage", "defaults", "blocks")
STORAGE_FORMS = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, file:///FOLDER, or the path of a mounted folder"


class SweepSpec(BaseModel):
    """A sweep file: its name, its durable storage or None, its blocks with the defaults merged in, still with their axes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    storage: str | None = None
    blocks: tuple[dict[str, Any], ...]

    def points(self) -> Iterator[Point]:
        """Every point of every block in the order of the file, repeated where blocks overlap.

        Raises:
            SpecError: an unknown key, a missing one, or a value out of range; it says in which block.
        """
        for number, block in enumerate(self.blocks):
            where = f"blocks[{number}]"
            axes = [_points(block, key, cls, where) for key, cls in SECTIONS.items()] + [_seeds(block, where)]
            for data, model, train, evaluate, attack, device, seed in itertools.product(*axes):
                # construct, not validate: every part is validated already, and grids have 100,000 cells
                yield Point.model_construct(
                    data=data, model=model, train=train, evaluate=evaluate, attack=attack, device=device, seed=seed
                )


def _points(block: Mapping[str, Any], key: str, cls: type[S], where: str) -> list[S]:
    """The points of one section: a mapping, or a list of mappings, in which every list is an axis."""
    given = block.get(key, [{}])
    points = []
    entries = given if isinstance(given, list) else [given]
    for i, entry in enumerate(entries):
        place = f"{where}.{key}" + (f"[{i}]" if len(entries) > 1 else "")
        if not isinstance(entry, Mapping):
            raise SpecError(f"expected a mapping, not {entry!r}", where=place, valid=", ".join(cls.model_fields))
        if empty := [k for k, v in entry.items() if v == []]:
            raise SpecError(f"the axis {empty[0]!r} is empty", where=place)
        axes = [_axis(cls, k, v) for k, v in entry.items()]
        points += [_validated(cls, dict(zip(entry, values, strict=True)), place) for values in itertools.product(*axes)]
    if not points:
        raise SpecError(f"the axis {key!r} is empty", where=where)
    return points


def _axis(cls: type[Section], key: str, value: Any) -> list[Any]:
    """The values along one key: those of a list, or the one that stands there."""
    many = isinstance(value, list) and (key not in cls.lists or any(isinstance(v, list) for v in value))
    return value if many else [value]


def _validated(cls: type[S], values: dict[str, Any], where: str) -> S:
    try:
        return cls(**values)
    except ValidationError as problem:
        what, inner, valid = explain(problem, cls)
        raise SpecError(what, where=f"{where}.{inner}" if inner else where, valid=valid) from problem


def _seeds(block: Mapping[str, Any], where: str) -> list[int]:
    given = block.get("seed", 0)
    seeds = given if isinstance(given, list) else [given]
    bad = [s for s in seeds if not isinstance(s, int) or isinstance(s, bool) or s < 0]
    if bad or not seeds:
        wrong = bad[0] if bad else seeds
        raise SpecError(f"not a seed: {wrong!r}", where=f"{where}.seed", valid="an integer from 0, or a list of them")
    return seeds


def _merge(default: Any, own: Any) -> Any:
    """Sections are merged key by key; anything else of the block replaces the default."""
    if isinstance(default, Mapping) and isinstance(own, Mapping):
        return {**default, **{k: _merge(default.get(k), v) for k, v in own.items()}}
    return own


def variables(value: Any) -> tuple[str, ...]:
    """The names of the environment variables that stand in a string as ${NAME}."""
    return tuple(re.findall(r"\$\{(\w+)\}", value)) if isinstance(value, str) else ()


def expand(value: Any, where: str = "") -> Any:
    """Replace ${NAME} in a string by the environment's value; done as late as possible, so that no result names a machine's path.

    Raises:
        SpecError: the variable is not set.
    """
    if not isinstance(value, str):
        return value
    missing = [name for name in variables(value) if not os.environ.get(name)]
    if missing:
        raise SpecError(f"the environment variable {missing[0]} is not set", where=where, valid=f"export {missing[0]}=...")
    return re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m[1]], value)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which refuses duplicate keys: YAML keeps the last one silently, and half of a sweep is lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(problem=f"duplicate key {name!r}", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def load(path: str | Path) -> SweepSpec:
    """Read a sweep file.

    Raises:
        SpecError: no such file, not YAML, or not of the form that `sweeps/quickstart.yaml` shows.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "not a text file"
        raise SpecError(f"cannot read the sweep file: {reason}", where=str(path)) from problem
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"not YAML: {getattr(problem, 'problem', problem)}", where=f"{path.name}{line}") from problem
    return parse(raw, path.stem, path.name)


def parse(raw: Any, name: str, where: str = "sweep") -> SweepSpec:
    """The sweep that a YAML document describes; `name` is used where it has none."""
    if not isinstance(raw, Mapping):
        raise SpecError("expected a mapping", where=where, valid=", ".join(_FACE))
    _known(raw, _FACE, "key", where)
    name = str(raw.get("name", name))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(f"not a name: {name!r}", where=f"{where}.name", valid="letters, digits, '.', '_' and '-'")
    defaults, blocks = raw.get("defaults") or {}, raw.get("blocks") or [{}]
    if not isinstance(defaults, Mapping) or not isinstance(blocks, list) or not all(isinstance(b, Mapping) for b in blocks):
        raise SpecError("expected `defaults` as a mapping and `blocks` as a list of mappings", where=where)
    for place, block in [("defaults", defaults), *((f"blocks[{i}]", b) for i, b in enumerate(blocks))]:
        _known(block, (*SECTIONS, "seed"), "section", f"{where}: {place}")
    storage = None if raw.get("storage") is None else storage_uri(raw["storage"], f"{where}.storage")
    return SweepSpec(name=name, storage=storage, blocks=tuple(_merge(defaults, block) for block in blocks))


def storage_uri(value: Any, where: str) -> str:
    """The URI of a sweep's storage, if its form is valid; ${NAME} is expanded later.

    Raises:
        SpecError: another form, or a URI with credentials, which the message does not repeat.
    """
    if not isinstance(value, str) or not value.strip():
        raise SpecError(f"not a storage: {value!r}", where=where, valid=STORAGE_FORMS)
    parts = urlsplit(value)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SpecError(
            "a storage URI has no credentials and no options", where=where, valid=f"{STORAGE_FORMS}; AWS_* in the environment"
        )
    if "://" in value and (parts.scheme not in ("s3", "gs", "file") or bool(parts.netloc) != (parts.scheme != "file")):
        raise SpecError(f"not a storage: {value!r}", where=where, valid=STORAGE_FORMS)
    return value


def _known(mapping: Mapping[str, Any], valid: tuple[str, ...], kind: str, where: str) -> None:
    for key in mapping:
        if key not in valid:
            raise unknown(kind, key, valid, SpecError, where)
