"""The lab (marker `lab`): hosts with their own sshd on this machine, `ray up`, a sweep, faults. `make cluster-test` runs it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.lab import hosts
from tests.cluster.lab.cluster import Cluster
from tests.cluster.lab.faults import Facts

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
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 1.0}
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 1.5}
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 2.0}
  device: {name: default.qubit}
  seed: [0, 1, 2]
blocks:
  - model: {backbone: squeezenet1_1, weights: squeezenet1_1.pth, image_size: 32, head: [vqc1, tanh], n_qubits: 3}
"""
TROUBLE = """
  - model: {backbone: squeezenet1_1, weights: squeezenet1_1.pth, image_size: 32, head: tanh, n_qubits: 3}
    attack: {name: "troubles:KIND", epsilon: 0.1}
    seed: 0
"""


def pytest_configure(config: pytest.Config) -> None:
    """`make cluster-test` is `pytest -m lab tests/cluster`; `-m byhand` runs what takes too long for CI."""
    config.addinivalue_line("markers", "lab: makes hosts on this machine (root); runs only where -m names it")
    config.addinivalue_line("markers", "chaos: minutes of random kills; runs only where -m names it")
    config.addinivalue_line("markers", "byhand: takes minutes; runs only where -m names it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("lab", "chaos", "byhand"):
        if name not in config.option.markexpr:
            items[:] = [item for item in items if not item.get_closest_marker(name)]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Lab]:
    """A laptop, a head and two workers. Images and weights lie on the head alone."""
    if reason := hosts.missing():
        pytest.skip(reason)
    with make_lab(tmp_path_factory.mktemp("lab") / "hosts") as made:
        yield made


@contextmanager
def make_lab(folder: Path) -> Iterator[hosts.Lab]:
    """Hosts as their owner hands them over: Python and the packages are there, in ~/hqc_ray/.venv; the code is on the laptop."""
    python = Path(sys.prefix).resolve()
    shared = sorted({python, Path(sys.base_prefix).resolve()} - {Path("/usr")})
    # added to, never set: workers of a Ray that was started over ssh read ~/.bashrc after Ray has put shipped code there
    search = "$HOME/hqc_ray:$HOME${PYTHONPATH:+:$PYTHONPATH}"
    environment = {"PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    laptop = {"PATH": f"{python}/bin:{hosts.PATH}", "RAY_AUTH_MODE": "token"}
    memory = dict.fromkeys(("w1", "w2"), 2_000_000_000) if hosts.can_bound_memory() else {}
    with hosts.lab(folder, ["head", "w1", "w2"], shared, environment, laptop, memory) as made:
        for host in made.hosts.values():
            (host.home / "hqc_ray").mkdir()
            if host is not made.laptop:
                (host.home / "hqc_ray" / ".venv").symlink_to(python)
        copy_code(made.laptop.home / "hqc_ray")
        write_inputs(made["head"].home)
        yield made


def copy_code(folder: Path) -> None:
    """What `ray up` sends to the hosts, as a clone has it."""
    for name in ("hqc_ray", "sweeps"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md"):
        shutil.copy(CHECKOUT / name, folder)


def write_inputs(home: Path) -> None:
    """A folder of images, the weights of a backbone, attacks of the user's own, and the sweep file that names them."""
    import torch
    from PIL import Image

    from hqc_ray import data
    from hqc_ray.models import backbones

    source = data.get("synthetic", images=60, size_pixels=32)
    for index, label in enumerate(source.labels().tolist()):
        (home / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.read([index])[0]).save(home / "images" / str(label) / f"{index}.png")
    torch.save(backbones.get("squeezenet1_1", "random", 32).body.state_dict(), home / "squeezenet1_1.pth")
    shutil.copy(Path(__file__).with_name("troubles.py"), home)
    write_sweep(home, "sweep.yaml")


def write_sweep(home: Path, name: str, more: Sequence[str] = ()) -> None:
    """The lab's sweep file; `more` attacks of `troubles` meet one model."""
    text = SWEEP + "".join(TROUBLE.replace("KIND", kind) for kind in more)
    (home / name).write_text(text)


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster) -> Facts:
    """The facts of every cell, by its key, from a serial run on the head."""
    cluster.head.run("LAB_PACE=0 hqc sweep sweep.yaml --results serial --serial", seconds=200)
    return {row.key: row.facts() for row in cluster.rows("serial")}


@pytest.fixture(scope="session")
def cluster(lab: hosts.Lab) -> Cluster:
    """Ray, brought up on the lab's hosts; it ends with them."""
    made = Cluster(lab)
    made.laptop.run("ray get-auth-token --generate > /dev/null")
    made.up()
    return made
