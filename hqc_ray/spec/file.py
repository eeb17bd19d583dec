"""Reading a sweep file: a list is an axis; the grid is the product of all axes of a block."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hqc_ray import redaction
from hqc_ray.entries import MAX_SEED, explain
from hqc_ray.errors import Collected, InputError, SpecError, shown, unknown
from hqc_ray.spec import document, lines
from hqc_ray.spec.lines import Lines
from hqc_ray.spec.sections import SECTIONS, LoggerSpec, Point, Section
from hqc_ray.spec.uri import no_credentials, storage_uri

S = TypeVar("S", bound=Section)
Placed = tuple[Any, str]  # a section and where it stands in the file
_FACE = ("name", "storage", "loggers", "defaults", "blocks")
MAX_CELLS = 10_000_000  # points of a grid, counted before it is built


class SweepSpec(BaseModel):
    """A sweep file: its name, its durable storage or None, its loggers, its blocks with the defaults merged in.

    The blocks have their axes still. `file` is what errors call it, and `places` say where in it something stands; no result
    holds them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    storage: str | None = None
    loggers: tuple[LoggerSpec, ...] = ()
    blocks: tuple[dict[str, Any], ...]
    file: str = Field(default="", exclude=True)
    places: Lines = Field(default_factory=dict, exclude=True, repr=False)

    def points(self) -> Iterator[Point]:
        """Every point of every block in the order of the file, repeated where blocks overlap.

        Raises:
            SpecError: an unknown key, a missing one, or a value out of range, with its block and entry, and all of them; or a
                grid of more than `MAX_CELLS` points.
        """
        self._check_size()
        found = Collected()
        grids = []
        for number, block in enumerate(self.blocks):
            where = f"{self._prefix}blocks[{number}]"
            axes = [_points(block, key, cls, where, found) for key, cls in SECTIONS.items()]
            with found:
                seeds = _seeds(block, where)
            with found:
                controls = _controls(block, where)
            if not found.problems:
                grids.append((where, axes, seeds, controls))
        found.refuse()
        for where, axes, seeds, controls in grids:
            for sections in itertools.product(*axes):
                parts = {key: section for key, (section, _) in zip(SECTIONS, sections, strict=True)}
                places = (where, *(place for _, place in sections))
                for seed in seeds:  # construct, not validate: every part is validated already, and grids have 100,000 cells
                    yield Point.model_construct(**parts, seed=seed, controls=controls, places=places)

    @property
    def _prefix(self) -> str:
        return f"{self.file}: " if self.file else ""

    def _check_size(self) -> None:
        """Count the points, before any of them is made."""
        lengths = [_lengths(block) for block in self.blocks]
        counts = [math.prod(axes.values()) for axes in lengths]
        if sum(counts) > MAX_CELLS:
            largest = counts.index(max(counts))
            axes = ", ".join(f"{n:,} {axis}" for axis, n in sorted(lengths[largest].items(), key=lambda item: -item[1]) if n > 1)
            what = f"the grid has {_number(sum(counts))} cells: {axes}"
            raise SpecError(what, where=f"{self._prefix}blocks[{largest}]", valid=f"up to {MAX_CELLS:,} cells")


def _number(n: int) -> str:
    return f"{n:,}" if n < 10**15 else f"10^{len(str(n)) - 1} or more" if n < 10**1000 else "10^1000 or more"


def _lengths(block: Mapping[str, Any]) -> dict[str, int]:
    """How long each axis of a block is; a section of several entries is one axis."""
    found = {"seeds": len(block["seed"])} if isinstance(block.get("seed"), list) else {}
    for key, cls in SECTIONS.items():
        entries = [entry if isinstance(entry, Mapping) else {} for entry in _listed(block.get(key, [{}]))]
        axes = [{f"{key}.{name}": len(_axis(cls, name, value)) for name, value in entry.items()} for entry in entries]
        found |= axes[0] if len(axes) == 1 else {f"entries of {key}": sum(math.prod(lengths.values()) for lengths in axes)}
    return found


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _points(block: Mapping[str, Any], key: str, cls: type[Section], where: str, found: Collected) -> list[Placed]:
    """The points of one section: a mapping, or a list of mappings, in which every list is an axis."""
    points = []
    entries = _listed(block.get(key, [{}]))
    for i, entry in enumerate(entries):
        place = f"{where}.{key}" + (f"[{i}]" if len(entries) > 1 else "")
        with found:
            points += [(section, place) for section in _made(entry, cls, place)]
    if not entries:
        with found:
            raise SpecError(f"the axis {key!r} is empty", where=where)
    return points


def _made(entry: Any, cls: type[Section], place: str) -> list[Section]:
    """The points of one entry of a section."""
    if not isinstance(entry, Mapping):
        raise SpecError(f"expected a mapping, not {shown(entry)}", where=place, valid=", ".join(cls.model_fields))
    if empty := [k for k, v in entry.items() if v == []]:
        raise SpecError(f"the axis {empty[0]!r} is empty", where=place)
    axes = [_axis(cls, k, v) for k, v in entry.items()]
    return [_validated(cls, dict(zip(entry, values, strict=True)), place) for values in itertools.product(*axes)]


def _axis(cls: type[Section], key: str, value: Any) -> list[Any]:
    """The values along one key: those of a list, or the one that stands there."""
    many = isinstance(value, list) and (key not in cls.lists or any(isinstance(v, list) for v in value))
    return value if many else [value]


def _validated(cls: type[S], values: dict[str, Any], where: str) -> S:
    try:
        return cls(**values)
    except ValidationError as problem:
        what, inner, valid = explain(problem, cls, values)
        raise SpecError(what, where=f"{where}.{inner}" if inner else where, valid=valid) from problem


def _seeds(block: Mapping[str, Any], where: str) -> list[int]:
    seeds = _listed(block.get("seed", 0))
    bad = [s for s in seeds if not isinstance(s, int) or isinstance(s, bool) or not 0 <= s <= MAX_SEED]
    if bad or not seeds:
        valid = f"an integer from 0 to {MAX_SEED}, which numpy, torch and Qiskit all take, or a list of them"
        raise SpecError(f"not a seed: {shown(bad[0] if bad else seeds)}", where=f"{where}.seed", valid=valid)
    return seeds


def _controls(block: Mapping[str, Any], where: str) -> bool:
    given = block.get("controls", False)
    if not isinstance(given, bool):
        raise SpecError(f"not true or false: {shown(given)}", where=f"{where}.controls", valid="true, or false")
    return given


def _merge(default: Any, own: Any) -> Any:
    """Sections are merged key by key; anything else of the block replaces the default."""
    if isinstance(default, Mapping) and isinstance(own, Mapping):
        return {**default, **{k: _merge(default.get(k), v) for k, v in own.items()}}
    return own


def expand(value: Any, where: str = "") -> Any:
    """Replace ${NAME} in a string by the environment's value; done as late as possible, so that no result names a machine's path.

    Raises:
        SpecError: the variable is not set.
    """
    if not isinstance(value, str):
        return value
    missing = [n for n in redaction.VARIABLE.findall(value) if not os.environ.get(n)]
    if missing:
        raise SpecError(f"the environment variable {missing[0]} is not set", where=where, valid=f"export {missing[0]}=...")
    return redaction.VARIABLE.sub(lambda m: os.environ[m[1]], value)


def load(path: str | Path) -> SweepSpec:
    """Read a sweep file.

    Raises:
        SpecError: no such file, not YAML, or not of the form that `sweeps/quickstart.yaml` shows.
    """
    path = Path(path)
    raw, places = document.read(path)
    with on_lines(places, path.name):
        made = parse(raw, path.stem, path.name)
    return made.model_copy(update={"file": path.name, "places": places})


def checked(path: str | Path) -> SweepSpec:
    """Read a sweep file, and refuse all that is wrong with it whatever the names in it stand for.

    Raises:
        SpecError: see `load` and `SweepSpec.points`; or an environment variable that its data or weights need is not set.
    """
    made = load(path)
    with on_lines(made.places, made.file):
        next(made.points(), None)
        found = Collected()
        for i, block in enumerate(made.blocks):
            for key, name in (("data", ""), ("model", "weights")):
                for inner, text in redaction.texts(block.get(key)):
                    if not name or name in inner:
                        with found:
                            expand(text, f"{made._prefix}blocks[{i}].{key}.{inner}".replace(".[", "[").rstrip("."))
        found.refuse()
    return made


@contextlib.contextmanager
def on_lines(places: Lines, file: str) -> Iterator[None]:
    """Around what reads or plans a sweep file: each of its errors says on which line of the file it is about what."""
    try:
        yield
    except InputError as problem:
        found = sorted((lines.lined(one, places, file) for one in problem.all), key=lines.number)
        told: dict[Any, InputError] = {}  # what blocks take from `defaults` is said once
        for one in found:
            told.setdefault((one.what, one.valid, lines.number(one) or one.where), one)
        first, *others = told.values()
        raise first.beside(others) from problem


def parse(raw: Any, name: str, where: str = "sweep") -> SweepSpec:
    """The sweep that a YAML document describes; `name` is used where it has none."""
    if not isinstance(raw, Mapping):
        raise SpecError(f"expected a mapping, not {shown(raw)}", where=where, valid=", ".join(_FACE))
    storage = None if raw.get("storage") is None else storage_uri(raw["storage"], f"{where}: storage")
    for place, text in redaction.texts(raw):
        no_credentials(text, f"{where}: {place}" if place else where)
        redaction.name(redaction.VARIABLE.findall(text))
    _known(raw, _FACE, "key", where)
    name = raw.get("name", name)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        valid = "a text of 1 to 100 letters, digits, '.', '_' and '-', which begins with a letter or digit"
        raise SpecError(f"not a name: {shown(name)}", where=f"{where}: name", valid=valid)
    defaults = {} if raw.get("defaults") is None else raw["defaults"]
    blocks = [{}] if raw.get("blocks") is None else raw["blocks"]
    if not isinstance(defaults, Mapping) or not isinstance(blocks, list) or not all(isinstance(b, Mapping) for b in blocks):
        raise SpecError("expected `defaults` as a mapping and `blocks` as a list of mappings", where=where)
    if not blocks:
        raise SpecError("no block", where=f"{where}: blocks", valid="a block for each grid, or no key `blocks`")
    found = Collected()
    for place, block in [("defaults", defaults), *((f"blocks[{i}]", b) for i, b in enumerate(blocks))]:
        with found:
            _known(block, (*SECTIONS, "seed", "controls"), "section", f"{where}: {place}")
    loggers: tuple[LoggerSpec, ...] = ()
    with found:
        loggers = _loggers(raw.get("loggers"), f"{where}: loggers")
    found.refuse()
    return SweepSpec(name=name, storage=storage, loggers=loggers, blocks=tuple(_merge(defaults, block) for block in blocks))


def _loggers(given: Any, where: str) -> tuple[LoggerSpec, ...]:
    """The loggers of a sweep: names, or mappings with a `name` and options."""
    entries = [] if given is None else _listed(given)
    named = [{"name": entry} if isinstance(entry, str) else entry for entry in entries]
    for i, entry in enumerate(named):
        if not isinstance(entry, Mapping):
            raise SpecError(f"not a logger: {shown(entry)}", where=f"{where}[{i}]", valid="a name, or a mapping with a `name`")
    found = tuple(_validated(LoggerSpec, dict(entry), f"{where}[{i}]") for i, entry in enumerate(named))
    if twice := [one.name for i, one in enumerate(found) if one.name in {other.name for other in found[:i]}]:
        raise SpecError(f"the logger {twice[0]!r} twice", where=where, valid="each once")
    return found


def _known(mapping: Mapping[str, Any], valid: tuple[str, ...], kind: str, where: str) -> None:
    for key in mapping:
        if key not in valid:
            raise unknown(kind, key, valid, SpecError, where)
