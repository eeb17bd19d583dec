"""Tables of entries: a name (or a user's own `package.module:name`) and its options become a frozen, validated object."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from hqc_ray.errors import InputError, shown, unknown
from hqc_ray.guard import guarded, wrong

T = TypeVar("T")
E = TypeVar("E", bound="Entry")
MAX_SEED = 2**32 - 1  # NumPy's old generators take no more; torch and Qiskit do
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Options(BaseModel):
    """Base class of what takes options: frozen, no unknown ones, finite numbers, and a boolean is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python and pydantic take True for 1, and 1 for True."""
        kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, bool) and kinds & {int, float} and bool not in kinds:
                raise PydanticCustomError("boolean", "a boolean is no number")
            if isinstance(one, int | float) and not isinstance(one, bool) and kinds <= {bool, type(None)}:
                raise PydanticCustomError("boolean", "Input should be true or false")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a field's annotation is made of; of a literal, those of its values."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        yield from map(type, inner)
    elif inner:
        for one in inner[:1] if get_origin(annotation) is Annotated else inner:
            yield from _kinds(one)
    else:
        yield annotation


class Entry(Options):
    """Base class of table entries. Its fields are the entry's options; `repr` shows them all."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


def describe(entry: type[BaseModel]) -> str:
    """The options of `entry` with their defaults: 'steps=20, step_size=None'."""
    fields = entry.model_fields.items()
    return ", ".join(name if f.is_required() else f"{name}={f.get_default(call_default_factory=True)!r}" for name, f in fields)


def explain(error: ValidationError, entry: type[BaseModel], given: Any = None) -> tuple[str, str, str]:
    """The first problem that pydantic found, as (what is wrong, where, what is valid).

    Args:
        error: of `entry`.
        entry: what was to be made.
        given: of what; it tells the names in a place from pydantic's own words.
    """
    problems = error.errors(include_url=False)
    first = problems[0]
    where = _place(first["loc"], given, first["type"] in ("extra_forbidden", "missing"))
    valid = describe(entry) or "no options"
    if first["type"] == "extra_forbidden":
        return f"unknown option {shown(where)}", "", valid
    if first["type"] == "missing":
        return f"{where!r} is required", "", valid
    same = [p["msg"].removeprefix("Value error, ") for p in problems if _place(p["loc"], given) == where]
    what = " or ".join([same[0], *(text.removeprefix("Input should be ") for text in dict.fromkeys(same[1:]))])
    return f"{what}, not {shown(first['input'])}", where, _range(entry, first["loc"]) if where else valid


def _place(loc: tuple[int | str, ...], given: Any, unread: bool = False) -> str:
    """Pydantic's place of a problem, `judges.devices[2]`, without the branches of a union, which are not in what was given."""
    place = ""
    for i, part in enumerate(loc):
        named = isinstance(given, Mapping) and part in given
        if isinstance(part, int):
            place += f"[{part}]"
            given = given[part] if isinstance(given, list | tuple) and part < len(given) else None
        elif named or given is None or (unread and i == len(loc) - 1):
            place += f".{part}" if place else part
            given = given[part] if named else None
    return place


def _range(entry: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Both ends of the range of a number, where it has them: '1 to 100'."""
    field = entry.model_fields.get(str(loc[0])) if len(loc) == 1 else None
    if field is None:
        return ""
    rules = [*field.metadata, *(rule for part in _annotated(field.annotation) for rule in part)]
    ends = {name: getattr(rule, name) for rule in rules for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)}
    bounds = {name: f"{int(end):,}" if end == int(end) else f"{end:g}" for name, end in ends.items()}
    low = bounds["ge"] if "ge" in bounds else f"above {bounds['gt']}" if "gt" in bounds else ""
    high = bounds["le"] if "le" in bounds else f"below {bounds['lt']}" if "lt" in bounds else ""
    return f"{low} to {high}" if low and high else ""


def _annotated(annotation: Any) -> Iterator[list[Any]]:
    """The rules of each `Annotated` part of a union."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Annotated:
            yield [rule for extra in part.__metadata__ for rule in (getattr(extra, "metadata", None) or [extra])]


def lookup(kind: str, table: Mapping[str, T], name: str, error: type[InputError] = InputError) -> T | Any:
    """The table's entry called `name`, or the object that a user's own `package.module:name` imports to.

    Raises:
        InputError: no such name (the valid ones are listed), or the import fails.
    """
    if name in table:
        return table[name]
    if ":" not in str(name):
        raise unknown(kind, name, [*table, "package.module:name"], error, all_by=f"hqc list {kind}s")
    module, _, attribute = name.partition(":")
    with guarded(kind, name, error, to="import", valid="package.module:name of a module beside the sweep file, or on PYTHONPATH"):
        return getattr(importlib.import_module(module), attribute)


def _public(base: type) -> str:
    """The shortest name by which a class is imported: hqc_ray.attacks.Attack."""
    parts = base.__module__.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    holder = next((name for name in packages if getattr(sys.modules.get(name), base.__name__, None) is base), base.__module__)
    return f"{holder}.{base.__name__}"


def make(
    kind: str,
    table: Mapping[str, type[E]],
    name: str,
    options: Mapping[str, Any],
    error: type[InputError] = InputError,
    taken: Collection[str] = (),
    base: type[Entry] = Entry,
) -> E:
    """The entry `name` of `table`, or a user's own subclass of `base`, with `options`.

    None of its options may be called as in `taken`, the section's own keys.

    Raises:
        InputError: an unknown name, option, or value; it lists the valid ones with their defaults.
    """
    entry: Any = lookup(kind, table, name, error)
    if not (isinstance(entry, type) and issubclass(entry, base)):
        raise wrong(kind, name, f"is not a subclass of {_public(base)}", error, entry)
    if lacking := sorted(getattr(entry, "__abstractmethods__", ())):
        raise wrong(kind, name, f"does not define {', '.join(lacking)}", error, entry)
    if clash := sorted(entry.model_fields.keys() & set(taken)):
        raise error(f"{kind} {name!r} has an option called {clash[0]!r}, a key of its section", valid="another name")
    with guarded(kind, name, error, to="make") if ":" in name else contextlib.nullcontext():
        try:
            return cast("E", entry(**options))
        except ValidationError as problem:
            what, where, valid = explain(problem, entry, options)
            raise error(f"{kind} {name!r}: {what}", where=where, valid=valid) from problem
