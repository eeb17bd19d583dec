from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from quantum_cases import reuploading

from hqc_ray import circuits
from hqc_ray.quantum.circuits.ir import Circuit


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -m exhaustive tests/quantum` runs the whole exactness suite."""
    config.addinivalue_line("markers", "exhaustive: takes minutes; runs only where -m names it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "exhaustive" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Circuit]:
    """Circuits from a user's own module."""
    module = types.ModuleType("user_circuits")
    vars(module).update(reuploading=reuploading, number=3, nothing=lambda b: None, wrong=lambda b: b.add("CNOT", 0, 7))
    monkeypatch.setitem(sys.modules, "user_circuits", module)
    return lambda name, **options: circuits.get(f"user_circuits:{name}", **options)
