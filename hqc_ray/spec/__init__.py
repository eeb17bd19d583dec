"""The sweep file as frozen, validated models."""

from hqc_ray.spec.file import STORAGE_FORMS, SweepSpec, expand, load, parse, storage_uri, variables
from hqc_ray.spec.sections import (
    LEVELS,
    MAX_SIDE,
    NAMED,
    SECTIONS,
    Access,
    AttackSpec,
    DataSpec,
    DeviceSpec,
    EvaluateSpec,
    JudgesSpec,
    Level,
    Mode,
    ModelSpec,
    Point,
    Section,
    TrainSpec,
    sides,
)  # fmt: skip

__all__ = [
    "LEVELS", "MAX_SIDE", "NAMED", "SECTIONS", "STORAGE_FORMS",
    "Access", "AttackSpec", "DataSpec", "DeviceSpec", "EvaluateSpec", "JudgesSpec", "Level", "Mode",
    "ModelSpec", "Point", "Section", "SweepSpec", "TrainSpec", "expand", "load", "parse", "sides", "storage_uri", "variables",
]  # fmt: skip
