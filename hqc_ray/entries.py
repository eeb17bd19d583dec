"""Tables of entries: a name (or a user's own `package.module:name`) and its options become a frozen, validated object."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import sysconfig
from collections.abc import Collection, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from hqc_ray.errors import InputError, unknown
from hqc_ray.guard import guarded

T = TypeVar("T")
E = TypeVar("E", bound="Entry")


class Entry(BaseModel):
    """Base class of table entries. Its fields are the entry's options; `repr` shows them all."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def describe(entry: type[BaseModel]) -> str:
    """The options of `entry` with their defaults: 'steps=20, step_size=None'."""
    fields = entry.model_fields.items()
    return ", ".join(name if f.is_required() else f"{name}={f.get_default(call_default_factory=True)!r}" for name, f in fields)


def explain(error: ValidationError, entry: type[BaseModel]) -> tuple[str, str, str]:
    """The first problem that pydantic found, as (what is wrong, where, what is valid)."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    valid = describe(entry) or "no options"
    if first["type"] == "extra_forbidden":
        return f"unknown option {where!r}", "", valid
    if first["type"] == "missing":
        return f"{where!r} is required", "", valid
    return f"{first['msg']}, not {first['input']!r}", where, valid if not where else ""


@functools.cache
def with_code(name: str) -> str:
    """A user's own `package.module:name` with a digest of its module's source, so that edited code gives other keys.

    Of a package that is installed the version tells more: one module's source is little of what it does.
    """
    module = str(name).partition(":")[0]
    if ":" not in str(name):
        return name
    if version := _version(module.partition(".")[0]):
        return f"{name}@{version}"
    try:
        source = inspect.getsource(importlib.import_module(module))
    except (ImportError, OSError, TypeError):
        return name
    return f"{name}@{hashlib.sha256(source.encode()).hexdigest()[:16]}"


def _version(package: str) -> str | None:
    """Of the distribution that installed a top-level package in site-packages; None of whatever lies elsewhere."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    if found is None or not any((found.origin or "").startswith(place) for place in places):
        return None
    owners = metadata.packages_distributions().get(package)
    return metadata.version(owners[0]) if owners else None


def lookup(kind: str, table: Mapping[str, T], name: str, error: type[InputError] = InputError) -> T | Any:
    """The table's entry called `name`, or the object that a user's own `package.module:name` imports to.

    Raises:
        InputError: no such name (the valid ones are listed), or the import fails.
    """
    if name in table:
        return table[name]
    if ":" not in str(name):
        raise unknown(kind, name, [*table, "package.module:name"], error)
    module, _, attribute = name.partition(":")
    with guarded(kind, name, error, to="import", valid="package.module:name on PYTHONPATH"):
        return getattr(importlib.import_module(module), attribute)


def make(
    kind: str,
    table: Mapping[str, type[E]],
    name: str,
    options: Mapping[str, Any],
    error: type[InputError] = InputError,
    taken: Collection[str] = (),
) -> E:
    """The entry `name` of `table` with `options`; none of them may be called as in `taken`, the section's own keys.

    Raises:
        InputError: an unknown name, option, or value; it lists the valid ones with their defaults.
    """
    entry: Any = lookup(kind, table, name, error)
    if not (isinstance(entry, type) and issubclass(entry, Entry)):
        raise error(f"{kind} {name!r} is not a subclass of hqc_ray.entries.Entry")
    if lacking := sorted(getattr(entry, "__abstractmethods__", ())):
        raise error(f"{kind} {name!r} does not define {', '.join(lacking)}")
    if clash := sorted(entry.model_fields.keys() & set(taken)):
        raise error(f"{kind} {name!r} has an option called {clash[0]!r}, a key of its section", valid="another name")
    with guarded(kind, name, error, to="make") if ":" in name else contextlib.nullcontext():
        try:
            return cast("E", entry(**options))
        except ValidationError as problem:
            what, where, valid = explain(problem, entry)
            raise error(f"{kind} {name!r}: {what}", where=where, valid=valid) from problem
