"""Tables of entries: a name (or a user's own `package.module:name`) and its options become a frozen, validated object."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from hqc_ray.errors import InputError, close, nearest, shown, unknown
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
    """The options of `entry` with their defaults: 'steps=20, step_size=None'; of options with options of their own the names."""
    return ", ".join(name if f.is_required() else f"{name}={_default(f)}" for name, f in entry.model_fields.items())


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return f"{{{', '.join(type(value).model_fields)}}}" if isinstance(value, BaseModel) else repr(value)


def explain(
    error: ValidationError, entry: type[BaseModel], given: Any = None, beside: Collection[str] = ()
) -> tuple[str, str, str]:
    """The first problem that pydantic found, as (what is wrong, where, what is valid); what is misspelt comes before what lacks.

    Args:
        error: of `entry`.
        entry: what was to be made.
        given: of what; it tells the names in a place from pydantic's own words.
        beside: names that stand beside the options of `entry`, and may be meant by a misspelt one.
    """
    problems = error.errors(include_url=False)
    misspelt = [p for p in problems if p["type"] == "extra_forbidden"] if problems[0]["type"] == "missing" else []
    first = [*misspelt, *problems][0]
    where = _place(first["loc"], given, first["type"] in ("extra_forbidden", "missing"))
    valid = describe(entry) or "no options"
    if first["type"] == "extra_forbidden":
        holder = _holder(entry, first["loc"])
        meant = nearest(first["loc"][-1], [*holder.model_fields, *(beside if holder is entry else ())])
        return f"unknown option {shown(where)}{meant}", "", describe(holder) or "no options"
    if first["type"] == "missing":
        others = [str(key) for key in given if key not in entry.model_fields] if isinstance(given, Mapping) else []
        meant = f"; is it meant by {shown(close(where, others)[0])}?" if close(where, others) else ""
        return f"{where!r} is required{meant}", "", valid
    same = [p for p in problems if _place(p["loc"], given) == where]
    said = [p["msg"].removeprefix("Value error, ") for p in same]
    what = " or ".join([said[0], *(text.removeprefix("Input should be ") for text in dict.fromkeys(said[1:]))])
    words = [word for p in same if p["type"] == "literal_error" for word in re.findall(r"'([^']*)'", p["ctx"]["expected"])]
    meant = nearest(first["input"], words) if isinstance(first["input"], str) else ""
    return f"{what}, not {shown(first['input'])}{meant}", where, _range(entry, first["loc"]) if where else valid


def _holder(entry: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """What the last part of a place is an option of: `entry`, or what one of its options is made of."""
    for part in loc[:-1]:
        kinds = _kinds(entry.model_fields[part].annotation) if part in entry.model_fields else ()
        entry = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), entry)
    return entry


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
    """Both ends of the range of a number, where it has them: '1 to 100'; and what its description says of it."""
    field = entry.model_fields.get(str(loc[0])) if len(loc) == 1 else None
    if field is None:
        return ""
    rules = [*field.metadata, *(rule for part in _annotated(field.annotation) for rule in part)]
    ends = {name: getattr(rule, name) for rule in rules for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)}
    bounds = {name: f"{int(end):,}" if end == int(end) else f"{end:g}" for name, end in ends.items()}
    low = bounds["ge"] if "ge" in bounds else f"above {bounds['gt']}" if "gt" in bounds else ""
    high = bounds["le"] if "le" in bounds else f"below {bounds['lt']}" if "lt" in bounds else ""
    narrower = f"; {field.description}" if field.description else ""
    return f"{low} to {high}{narrower}" if low and high else ""


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
            what, where, valid = explain(problem, entry, options, taken)
            raise error(f"{kind} {name!r}: {what}", where=where, valid=valid) from problem
