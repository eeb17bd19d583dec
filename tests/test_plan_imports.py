"""What only reads a sweep file starts without the libraries that compute: counted in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch", "torchvision", "pennylane", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "matplotlib", "scipy", "pandas", "ray",
}  # fmt: skip
CODE = """
import sys
from hqc_ray import cli
code = cli.main(sys.argv[1:])
print("imported:", *(name.partition(".")[0] for name in sys.modules), file=sys.stderr)
sys.exit(code)
"""
ALL = """\
name: all
defaults:
  data: {source: synthetic, size: 400}
  evaluate: {images: 10, certificate: true}
  controls: true
  attack:
    - {name: clean}
    - {name: autoattack, epsilon: 1/255, members: {bottleneck: {}, control: {}, apgd: {steps: 20}, fab: {steps: 10}}}
    - {name: pgd, level: angles, epsilon: 0.1}
    - {name: square, level: features, norm: l2, epsilon: 0.1}
  device:
    - {name: lightning.qubit}
    - {name: qiskit.aer}
    - {name: qiskit.aer, noise: fake_sherbrooke, noise_scale: [0, 0.5, 1], shots: 100}
blocks:
  - model: {backbone: [resnet18, alexnet], weights: random, head: [vqc1, fourier], reuploads: 2}
  - model: {backbone: cnn1}
    attack: {name: fgsm, epsilon: 1/255}
    evaluate: {keep: true, judges: {heads: all, devices: all}}
"""

PRETRAINED = """\
name: pretrained
defaults:
  data: {source: synthetic, size: 400}
  controls: true
  attack: {name: fgsm, epsilon: 1/255}
blocks:
  - model: {backbone: resnet18, weights: imagenet, head: vqc1}
"""


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that are there after a command, which must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("imported:")[2].split())


COMMANDS = [("plan", "quickstart"), ("plan", "all.yaml", "--json"), ("list", "attacks"), ("list", "heads", "--json")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_plan_imports_nothing_that_computes(tmp_path, arguments):
    (tmp_path / "all.yaml").write_text(ALL)
    assert not HEAVY & imported(tmp_path, *arguments)


def test_a_plan_opens_no_weights_that_lie_in_their_folder(tmp_path, monkeypatch):
    (tmp_path / "pretrained.yaml").write_text(PRETRAINED)
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet18.pth")
    monkeypatch.setenv("HQC_WEIGHTS", str(tmp_path))
    assert not HEAVY & imported(tmp_path, "plan", "pretrained.yaml")


def test_help_imports_nothing_but_the_parser(tmp_path):
    code = "import sys\nfrom hqc_ray import cli\ncli.parser().format_help()\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert not (HEAVY | {"numpy", "pydantic", "yaml"}) & set(done.stdout.split())
