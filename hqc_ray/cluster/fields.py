"""Tables of fields as JSON Schema, and what breaks a schema as findings.

A table is text: `name` is a string, `name:integer` of that type, `name:[Disk]` a list of what the table Disk says, `name=A|B` one
of these words; a `!` after it says that it must be there.
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
    errors = jsonschema.Draft7Validator(schema).iter_errors(instance)
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
