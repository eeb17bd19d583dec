"""The types of a row's columns, and what their values must be."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

LARGEST = 2**63 - 1  # of a whole number: what a table can hold


class Part(BaseModel):
    """Some columns of a row. Strict: no text for a number, no boolean for a count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@lru_cache(maxsize=1024)
def _json(text: str, kind: type) -> str:
    """The text of a JSON object or list; most columns hold few distinct ones."""
    try:
        found: Any = json.loads(text) if text else kind()
    except RecursionError as problem:
        raise ValueError("JSON that is nested too deeply") from problem
    if not isinstance(found, kind) or (isinstance(found, list) and not all(isinstance(name, str) for name in found)):
        raise ValueError(f"not the JSON of a {kind.__name__}")
    return text


Options = Annotated[str, AfterValidator(lambda text: _json(text, dict))]
Names = Annotated[str, AfterValidator(lambda text: _json(text, list))]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


def optional(part: type[Part]) -> Any:
    """The same columns, each None until it is measured."""
    columns: dict[str, Any] = {}
    for name, column in part.model_fields.items():
        kind: Any = Annotated[(column.annotation, *column.metadata)] if column.metadata else column.annotation
        columns[name] = (kind | None, FieldInfo(default=None, description=column.description))
    return create_model(f"{part.__name__}OrNone", __base__=Part, **columns)


def kind_of(column: FieldInfo) -> type | None:
    """The type of a column's values, None aside: int, float, bool or str (also of a choice of texts); None of others."""
    return next((kind for kind in (bool, int, float, str) if kind in _leaves(column.annotation)), None)


def _leaves(annotation: Any) -> set[Any]:
    """What an annotation consists of."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return {type(value) for value in inner}
    return {leaf for part in inner for leaf in _leaves(part)} if inner else {annotation}


def holds(bits: str, n: int) -> bool:
    """Whether packed outcomes are those of `n` images."""
    try:
        packed = bytes.fromhex(bits)
    except ValueError:
        return False
    return len(packed) == -(-n // 8) and not (n % 8 and packed[-1] & (0xFF >> n % 8))
