"""The patch of Ray Tune is applied, and says so where it no longer can be."""

from types import SimpleNamespace

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller

from hqc_ray.sweep.tune import ray_patches


def test_tunes_controller_has_our_manager_of_actors():
    assert tune_controller.RayActorManager is ray_patches._Deaths


def test_an_out_of_memory_kill_reaches_tune_as_the_death_of_an_actor(monkeypatch):
    told = []
    monkeypatch.setattr(ray_patches.RayActorManager, "_actor_task_failed", lambda self, task, exception: told.append(exception))
    manager = object.__new__(ray_patches._Deaths)
    manager._actor_task_failed(None, OutOfMemoryError("the node was short of memory"))
    manager._actor_task_failed(None, other := ValueError("something else"))
    assert isinstance(told[0], RayActorError)
    assert "short of memory" in str(told[0])
    assert told[1] is other


def test_a_ray_without_the_private_name_is_refused_at_import():
    with pytest.raises(ImportError, match="no RayActorManager"):
        ray_patches.patch(SimpleNamespace())
