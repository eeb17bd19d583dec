"""The report's fixtures; the rows are made in `report_rows`, which a test can import whatever other conftest is loaded."""

from __future__ import annotations

import pandas as pd
import pytest
from report_rows import as_frame, suspect_rows, sweep_rows

from hqc_ray.report.figures import accuracy


@pytest.fixture(autouse=True, scope="session")
def _coarse():
    """Few pixels: the tests read artists, not pictures."""
    fine, accuracy.RC["savefig.dpi"] = accuracy.RC["savefig.dpi"], 40
    yield
    accuracy.RC["savefig.dpi"] = fine


@pytest.fixture
def sweep() -> pd.DataFrame:
    """Four heads x three seeds x (clean + four attacks x three epsilons)."""
    return as_frame(sweep_rows())


@pytest.fixture
def suspect() -> pd.DataFrame:
    """The rows that the audit must not let pass."""
    return as_frame(suspect_rows())
