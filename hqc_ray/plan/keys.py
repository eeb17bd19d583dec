"""Content keys, by which a run finds what other runs have computed; labels of attacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, ModelSpec
from hqc_ray.usercode import with_code

# the fields of each section that may name a user's code; an entry may have options of these names
_NAMES = {DataSpec: ("source",), ModelSpec: ("backbone", "head"), DeviceSpec: ("name", "noise"), AttackSpec: ("name",)}
KEY_VERSION = 2  # raise it when the same cell would give another row


def content_key(*parts: Any) -> str:
    """16 hexadecimal digits; equal parts give equal keys, on every machine."""
    text = json.dumps([KEY_VERSION, *(_plain(p) for p in parts)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(part: Any) -> Any:
    """A section as JSON, without paths: digests stand for what the files contain."""
    if not isinstance(part, BaseModel):
        return part
    plain = part.model_dump(mode="json")
    if isinstance(part, DataSpec):
        plain.pop("path", None)
    if isinstance(part, ModelSpec):
        plain["weights"] = PurePath(part.weights).name
    named = {k: with_code(v) if k in _NAMES.get(type(part), ()) else v for k, v in plain.items()}
    named |= {k: _plain(v) for k, v in part if isinstance(v, BaseModel)}  # a section in a section, such as a training's device
    if isinstance(part, AttackSpec) and isinstance(members := named.get("members"), dict):
        named["members"] = [[with_code(name), options] for name, options in members.items()]  # order and users' code count
    return named


def attack_label(attack: AttackSpec, others: Iterable[AttackSpec] = ()) -> str:
    """The attack's name, with the options that tell it from other attacks of that name in the sweep."""
    inner = ",".join(_telling(attack.options, [o.options for o in others if o.name == attack.name]))
    return f"{attack.name}({inner})" if inner else attack.name


def _telling(options: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The options, as text, that some of the `rivals` have otherwise; of members, their names and such options of theirs."""
    for name, value in sorted(options.items()):
        theirs: list[Any] = [rival.get(name) for rival in rivals]
        if all(json.dumps(other) == json.dumps(value) for other in theirs):  # as text: the order of members counts
            continue
        if name != "members" or not all(_is_members(one) for one in (value, *theirs)):
            yield f"{name}={value}"
            continue
        if any(list(other) != list(value) for other in theirs):
            yield f"members={'+'.join(value)}"
        for member, own in value.items():
            found = _telling(own, [other[member] for other in theirs if member in other])
            yield from (f"{member}.{text}" for text in found)


def _is_members(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(options, Mapping) for options in value.values())
