"""The sweep file as frozen, validated models."""

from hqc_ray.spec.file import MAX_CELLS, STORAGE_FORMS, SweepSpec, expand, load, no_credentials, parse, storage_uri
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

__all__ = [
    "LEVELS", "MAX_CELLS", "MAX_IMAGES", "MAX_SIDE", "MIN_IMAGES", "NAMED", "SECTIONS", "STORAGE_FORMS",
    "Access", "AttackSpec", "DataSpec", "DeviceSpec", "EvaluateSpec", "JudgesSpec", "Level", "LoggerSpec", "Mode",
    "ModelSpec", "Point", "Section", "SweepSpec", "TrainSpec", "expand", "load", "no_credentials", "parse", "sides",
    "storage_uri",
]  # fmt: skip
