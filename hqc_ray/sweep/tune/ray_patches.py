"""Monkey patches of Ray Tune, which importing this module applies.

An out-of-memory kill is a death of an actor like any other. No credentials are copied into an actor's runtime environment, which
Ray's agent prints into a log that everybody on its node can read.
"""

from __future__ import annotations

from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import class_cache, tune_controller

from hqc_ray.redaction import PRIVATE

PATCHED = "RayActorManager"  # the private name by which Tune's controller makes its manager of actors
COPIED = "ENV_VARS_TO_PROPAGATE"  # the private name of the variables that Tune copies


class _OutOfMemory(RayActorError):
    """A trial's process that Ray ended because its node was short of memory: a death like any other."""

    def __init__(self, reason: OutOfMemoryError) -> None:
        super().__init__()
        self.error_msg = str(reason)


class _Deaths(RayActorManager):
    """Tune's manager would take an OutOfMemoryError, which is not a RayActorError, for its own fault and end the run."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(
            tracked_actor_task, _OutOfMemory(exception) if isinstance(exception, OutOfMemoryError) else exception
        )


def patch(controller: Any) -> None:
    """Put our manager of actors in the place of Tune's; there is no public way.

    Args:
        controller: the module of Tune's controller.

    Raises:
        ImportError: this Ray has no such name, or its manager no such method: the patch would silently do nothing.
    """
    if not hasattr(controller, PATCHED) or not hasattr(RayActorManager, "_actor_task_failed"):
        raise ImportError(f"this version of Ray Tune has no {PATCHED}._actor_task_failed to patch; install the pinned one")
    setattr(controller, PATCHED, _Deaths)


def withhold(cache: Any) -> None:
    """Take private variables out of those that Tune copies from the driver's environment.

    Args:
        cache: the module of Tune's classes of actors.

    Raises:
        ImportError: this Ray has no such name.
    """
    if not isinstance(getattr(cache, COPIED, None), set | frozenset):
        raise ImportError(f"this version of Ray Tune has no {COPIED} to patch; install the pinned one")
    setattr(cache, COPIED, {name for name in getattr(cache, COPIED) if not PRIVATE.search(name)})


patch(tune_controller)
withhold(class_cache)
