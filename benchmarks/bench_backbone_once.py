"""How often the backbone runs when heads, seeds and attacks multiply: counted, not timed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import common
from rich.console import Console

from hqc_ray.models import features
from hqc_ray.sweep import run
from hqc_ray.sweep.work import worker

SWEEP = """
name: once
defaults:
  data: {{source: synthetic, size: 40, images: 200}}
  train: {{epochs: 2}}
  evaluate: {{images: 4, batch_size: 4}}
  attack: {{name: clean}}
  seed: {seeds}
blocks:
  - model: {{backbone: squeezenet1_1, weights: random, image_size: 32, head: {heads}, n_qubits: 3}}
"""


def main() -> None:
    """Count the images whose features are extracted in sweeps that build on each other."""
    counted = 0
    original = features.extract

    def extract(backbone: object, images: object, batch_size: int = 64) -> object:
        nonlocal counted
        counted += len(images)  # type: ignore[arg-type]
        return original(backbone, images, batch_size)  # type: ignore[arg-type]

    worker.features.extract = extract  # type: ignore[assignment]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "sweep.yaml"
        for heads, seeds in (("tanh", "0"), ("[tanh, linear, fourier, vqc1]", "0"), ("[tanh, linear, fourier, vqc1]", "[0, 1]")):
            file.write_text(SWEEP.format(heads=heads, seeds=seeds))
            before = counted
            run.execute(file, scratch, serial=True, console=Console(quiet=True))
            found.append(counted - before)
    common.record("images through the backbone: 40 images and one head", str(found[0]), "40")
    common.record("images through the backbone: three more heads", str(found[1]), "0")
    common.record("images through the backbone: a second seed (40 images, some of them known)", str(found[2]), "40")


if __name__ == "__main__":
    main()
