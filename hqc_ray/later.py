"""Modules that are imported when something in them is first used: what only reads a sweep file starts without torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def later(name: str) -> Any:
    """The module `name`, which is not imported before one of its names is asked for.

    Where it is used, a type checker is shown the import itself:

        if TYPE_CHECKING:
            import torch
        else:
            torch = later("torch")
    """
    return _Later(name)
