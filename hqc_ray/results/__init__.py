"""Everything on disk: the row, the ledger, the layout of a results folder and its mirror. Knows neither torch nor ray.

Called, `hqc_ray.results("results/x")` is the function of that name: it opens a results folder, as `hqc_ray.archive.Results`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A room that is called: users find the archive under this name, and it stands below all that it needs."""

    def __call__(self, folder: str | Path) -> Any:
        """Open a results folder: its rows as a frame, the images of a row, its model, its adversarial examples.

        Args:
            folder: such as results/quickstart.

        Raises:
            ResultsError: no such folder, or nothing in it yet.
        """
        return import_module("hqc_ray.archive").Results(folder)


sys.modules[__name__].__class__ = _Callable
