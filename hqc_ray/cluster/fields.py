"""Tables of fields as JSON Schema, and what breaks a schema as findings.

A table is text: `name` is a string, `name:integer` of that type, `name:[Disk]` a list of what the table Disk says, `name=A|B` one
of these words; a `!` after it marks it as required.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema

from hqc_ray.cluster.finding import Finding, unknown_key

WIDE = {"number": ["number", "string"], "quantity": ["number", "string"], "port": ["integer", "string"]}  # as both APIs take them


def schema(tables: dict[str, str], root: str) -> dict[str, Any]:
    """The JSON Schema of the table `root`, with all others as its definitions."""

    def of(text: str) -> dict[str, Any]:
        if text.startswith("["):
            return {"type": "array", "items": of(text[1:-1])}
        return {"$ref": f"#/definitions/{text}"} if text in tables else {"type": WIDE.get(text, text)}

    definitions: dict[str, Any] = {}
    for name, table in tables.items():
        properties, required = {}, []
        for field in table.split():
            key, _, kind = field.removesuffix("!").partition(":")
            key, _, words = key.partition("=")
            properties[key] = {"enum": words.split("|")} if words else of(kind or "string")
            required += [key] if field.endswith("!") else []
        definitions[name] = {"type": "object", "additionalProperties": False, "properties": properties, "required": required}
    return {"$ref": f"#/definitions/{root}", "definitions": definitions}


def violations(schema: dict[str, Any], instance: Any, place: str = "", missing: str = "") -> Iterator[Finding]:
    """Every place where `instance` breaks the schema; unknown keys with the nearest known one."""
    yield from _keys(place, instance)
    errors = jsonschema.Draft7Validator(schema).iter_errors(_spelt(instance))
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        where = ".".join([*filter(None, [place]), *map(str, error.absolute_path)])
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            yield from (unknown_key(where, str(key), known) for key in error.instance if key not in known)
        elif error.validator == "required":
            absent = next(key for key in error.validator_value if key not in error.instance and f"'{key}'" in error.message)
            yield Finding(f"{where}.{absent}".lstrip("."), "missing", missing)
        else:
            yield Finding(where, error.message, str(error.schema.get("description", "")))


def _keys(place: str, node: Any) -> Iterator[Finding]:
    """Keys that YAML does not read as text, such as 16, yes or ~; JSON has no such keys."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        where = f"{place}.{key}".lstrip(".")
        if isinstance(node, dict) and not isinstance(key, str):
            yield Finding(where, f"its key is of type {type(key).__name__}", f"'{key}', in quotes")
        yield from _keys(where, value)


def _spelt(node: Any) -> Any:
    """The same with every key as text: jsonschema raises TypeError on any other key."""
    if isinstance(node, dict):
        return {str(key): _spelt(value) for key, value in node.items()}
    return [_spelt(value) for value in node] if isinstance(node, list) else node
