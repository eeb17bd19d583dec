"""The sweep file as frozen, validated models."""

from hqc_ray.spec.file import STORAGE_FORMS, SweepSpec, expand, load, parse, storage_uri, variables
from hqc_ray.spec.sections import (
    LEVELS,
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
)  # fmt: skip

__all__ = [
    "LEVELS", "NAMED", "SECTIONS", "STORAGE_FORMS",
    "Access", "AttackSpec", "DataSpec", "DeviceSpec", "EvaluateSpec", "JudgesSpec", "Level", "Mode",
    "ModelSpec", "Point", "Section", "SweepSpec", "TrainSpec", "expand", "load", "parse", "storage_uri", "variables",
]  # fmt: skip
