"""The table of loggers, and those that a sweep file asks for."""

from __future__ import annotations

from collections.abc import Iterable

from hqc_ray.entries import make
from hqc_ray.errors import SpecError
from hqc_ray.spec import LoggerSpec
from hqc_ray.sweep.observers.logger import Logger
from hqc_ray.sweep.observers.mlflow import MLflow
from hqc_ray.sweep.observers.tensorboard import TensorBoard
from hqc_ray.sweep.observers.wandb import Wandb

LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": Wandb}


def chosen(asked: Iterable[LoggerSpec], file: str = "") -> dict[str, Logger]:
    """The loggers that a sweep file asks for, by name; nothing is imported or opened.

    Raises:
        SpecError: an unknown name or option, or a package that is not installed.
    """
    found: dict[str, Logger] = {}
    for i, one in enumerate(asked):
        where = f"{file}: loggers[{i}]" if file else f"loggers[{i}]"
        try:
            found[one.name] = make("logger", LOGGERS, one.name, one.options, SpecError, base=Logger)
            found[one.name].check()
        except SpecError as problem:
            raise problem.at(where) from problem
    return found
