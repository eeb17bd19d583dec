"""A sweep that takes seconds: a small random backbone on tiny images, a circuit, its control, noisy and sampled devices."""

import textwrap

import pytest

TINY = """
name: tiny
defaults:
  data: {source: synthetic, size: 40, images: 60}
  train: {epochs: 2}
  evaluate: {images: 8, batch_size: 4}
  attack:
    - {name: clean}
    - {name: noise, epsilon: [0.01, 0.1]}
    - {name: fgsm, epsilon: [0.01, 0.1]}
    - {name: pgd, epsilon: [0.01, 0.1], steps: 2}
    - {name: deepfool, epsilon: [0.01, 0.1], max_iter: 3}
  device:
    - {name: default.qubit}
    - {name: qiskit.aer, noise: fake_manila, shots: 100}
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: [vqc1, tanh], n_qubits: 3}
"""
SMALL = """
name: small
defaults:
  data: {source: synthetic, size: 40, images: 60}
  train: {epochs: 1}
  evaluate: {images: 4, batch_size: 4}
  attack: {name: fgsm, epsilon: [0.01, 0.1]}
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: tanh}
"""


@pytest.fixture
def sweep_file(tmp_path):
    """Writes a sweep file and gives its path."""

    def write(text, name="sweep.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write
