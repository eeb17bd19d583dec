"""Twenty random kills; `make chaos KILLS=100 SEED=0` makes more."""

import pytest

from tests.cluster import chaos


@pytest.mark.chaos
def test_twenty_random_kills_lose_nothing(tmp_path):
    assert len(chaos.run(kills=20, seed=0, folder=tmp_path)) == 20
