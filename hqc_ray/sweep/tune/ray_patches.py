"""Every death of a trial's process is one that Tune recovers from: importing this teaches it the one that it takes amiss."""

from __future__ import annotations

from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller


class _OutOfMemory(RayActorError):
    """A trial's process that Ray ended because its node was short of memory: a death like any other."""

    def __init__(self, reason: OutOfMemoryError) -> None:
        super().__init__()
        self.error_msg = str(reason)


class _Deaths(RayActorManager):
    """Tune's manager of actors takes an OutOfMemoryError, which is no RayActorError, for a fault of its own, and ends the run."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(
            tracked_actor_task, _OutOfMemory(exception) if isinstance(exception, OutOfMemoryError) else exception
        )


vars(tune_controller)["RayActorManager"] = _Deaths  # there is no other way in
