"""The lab (marker `lab`): hosts with their own sshd on this machine, `ray up`, a sweep, faults. `make cluster-test` runs it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqc_ray.rows import Row
from tests.cluster.lab import hosts
from tests.cluster.lab.cluster import Cluster

CHECKOUT = Path(__file__).parents[2]
SWEEP = """
name: lab
defaults:
  data: {source: folder, path: images, size: 40, size_pixels: 32}
  train: {epochs: 2}
  evaluate: {images: 8, batch_size: 8}
  attack:
    - {name: clean}
    - {name: fgsm, epsilon: [0.01, 0.1]}
    - {name: "tests.cluster.troubles:Slow", epsilon: [0.01, 0.1], seconds: 1.5}
    - {name: "tests.cluster.troubles:Slow", epsilon: [0.01, 0.1], seconds: 2.0}
    - {name: "tests.cluster.troubles:Slow", epsilon: [0.01, 0.1], seconds: 2.5}
  device: {name: default.qubit}
  seed: [0, 1, 2]
blocks:
  - model: {backbone: squeezenet1_1, weights: WEIGHTS, image_size: 32, head: [vqc1, tanh], n_qubits: 3}
"""


def pytest_configure(config: pytest.Config) -> None:
    """`make cluster-test` is `pytest -m lab tests/cluster`; `-m byhand` runs what takes too long for CI."""
    config.addinivalue_line("markers", "lab: makes hosts on this machine (root); runs only where -m names it")
    config.addinivalue_line("markers", "byhand: takes minutes; runs only where -m names it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("lab", "byhand"):
        if name not in config.option.markexpr:
            items[:] = [item for item in items if not item.get_closest_marker(name)]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Lab]:
    """A laptop, a head and two workers. Images and weights lie on the head alone."""
    if reason := hosts.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lab")
    python = Path(sys.prefix).resolve()
    shared = sorted({python, Path(sys.base_prefix).resolve(), CHECKOUT} - {Path("/usr")})
    environment = {
        "PATH": f"{python}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token",
    }  # fmt: skip
    with hosts.lab(folder / "hosts", ["head", "w1", "w2"], shared, environment) as made:
        write_inputs(made["head"].home)
        yield made


def write_inputs(home: Path) -> None:
    """A folder of images, the weights of a backbone, and the sweep file that names them."""
    import torch
    from PIL import Image

    from hqc_ray import data
    from hqc_ray.models import backbones

    source = data.get("synthetic", images=60, size_pixels=32)
    for index, label in enumerate(source.labels().tolist()):
        (home / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.read([index])[0]).save(home / "images" / str(label) / f"{index}.png")
    torch.save(backbones.get("squeezenet1_1", "random", 32).body.state_dict(), home / "squeezenet1_1.pth")
    (home / "sweep.yaml").write_text(textwrap.dedent(SWEEP).replace("WEIGHTS", "random"))


@pytest.fixture(scope="session")
def undisturbed(lab: hosts.Lab) -> dict[str, dict[str, object]]:
    """The facts of every cell, by its key, from a serial run on the head."""
    lab["head"].run("LAB_PACE=0 hqc sweep sweep.yaml --results serial --serial", seconds=200)
    return facts(Cluster(lab).rows("serial"))


@pytest.fixture(scope="session")
def cluster(lab: hosts.Lab) -> Iterator[Cluster]:
    """Ray, brought up on the lab's hosts."""
    made = Cluster(lab)
    made.laptop.run("ray get-auth-token --generate > /dev/null")
    made.up()
    yield made
    made.down()


def facts(rows: list[Row]) -> dict[str, dict[str, object]]:
    """What must be equal in every run, by the key of the cell. No cell has two results."""
    results = [row for row in rows if row.status == "ok"]
    assert len({row.key for row in results}) == len(results), "a cell has two results"
    return {row.key: row.facts() for row in rows}
