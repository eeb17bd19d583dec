"""For several processes, `pytest -n 2 --dist loadgroup`: a file's tests share its fixtures; one process alone starts Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
STARTS_RAY = ("sweep", "cluster", "fuzz/test_fuzz_storage_submit.py", "test_docs.py", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ray = {HERE / name for name in STARTS_RAY}
    for item in items:
        starts_ray = not ray.isdisjoint({item.path, *item.path.parents})
        item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else str(item.path.relative_to(HERE))))
