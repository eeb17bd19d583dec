"""From a sweep file to what has to be done: distinct trainings, searches, cells, and their content keys. Computes nothing."""

from hqc_ray.plan.build import build
from hqc_ray.plan.keys import KEY_VERSION, attack_label, content_key
from hqc_ray.plan.parts import Cell, Group, Judge, Plan, Search, Training
from hqc_ray.plan.resolver import Resolver

__all__ = [
    "KEY_VERSION", "Cell", "Group", "Judge", "Plan", "Resolver", "Search", "Training", "attack_label", "build", "content_key",
]  # fmt: skip
