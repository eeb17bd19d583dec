"""The sweep file as frozen, validated models."""

from hqc_ray.spec.file import MAX_CELLS, SweepSpec, checked, expand, load, on_lines, parse
from hqc_ray.spec.sections import (
    LEVELS,
    MAX_IMAGES,
    MAX_SIDE,
    MIN_IMAGES,
    NAMED,
    SECTIONS,
    Access,
    AttackSpec,
    DataSpec,
    DeviceSpec,
    EvaluateSpec,
    JudgesSpec,
    Level,
    LoggerSpec,
    Mode,
    ModelSpec,
    Point,
    Section,
    TrainSpec,
    sides,
)  # fmt: skip
from hqc_ray.spec.uri import STORAGE_FORMS, no_credentials, storage_uri

__all__ = [
    "LEVELS", "MAX_CELLS", "MAX_IMAGES", "MAX_SIDE", "MIN_IMAGES", "NAMED", "SECTIONS", "STORAGE_FORMS",
    "Access", "AttackSpec", "DataSpec", "DeviceSpec", "EvaluateSpec", "JudgesSpec", "Level", "LoggerSpec", "Mode",
    "ModelSpec", "Point", "Section", "SweepSpec", "TrainSpec", "checked", "expand", "load", "no_credentials", "on_lines", "parse",
    "sides", "storage_uri",
]  # fmt: skip
