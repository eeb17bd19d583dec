"""What autoattack and its first member cost, in gradients of single images: beside PGD-20, at nested epsilons, over noise scales.

On real patches in `$HQC_DATA`, behind resnet18 with ImageNet's weights: less than 10 % stay right at 1/255, at 2/255 none.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import common
import pandas as pd

from hqc_ray.evaluation.statistics import total_gradients
from hqc_ray.sweep import run

SWEEP = """
name: {name}
defaults:
  data: {{source: pcam, path: "${{HQC_DATA}}", size: 1000}}
  evaluate: {{images: {images}}}
  model: {{backbone: resnet18, head: vqc1}}
blocks:
{blocks}
"""
STRONG = """
  - attack:
    - {name: pgd, epsilon: 1/255, steps: 20}
    - {name: autoattack, epsilon: [1/255, 1.5/255, 2/255, 3/255, 4/255]}
"""
AIMED = """
  - model: {head: [vqc1, vqc6]}
    device: [{name: default.qubit}, {name: qiskit.aer, noise: fake_manila}]
    attack: {name: bottleneck, epsilon: [1/255, 2/255]}
"""
SCALES = """
  - device: {{name: qiskit.aer, noise: fake_manila, noise_scale: [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0]}}
    attack: {{name: autoattack, epsilon: {epsilon}}}
  - device: {{name: qiskit.aer, noise: fake_manila}}
    attack:
      name: autoattack
      epsilon: {epsilon}
      members: {{bottleneck: {{}}, control: {{}}, apgd: {{}}, fab: {{}}, square: {{queries: 1000}}}}
"""


def rows(name: str, images: int, blocks: str, folder: Path) -> pd.DataFrame:
    """The rows of a sweep."""
    file = folder / f"{name}.yaml"
    file.write_text(SWEEP.format(name=name, images=images, blocks=blocks))
    return run.execute(file, folder, serial=True).rows


def main() -> None:
    """Count and record."""
    if not os.environ.get("HQC_DATA"):
        print("autoattack: not measured without HQC_DATA")
        return
    with tempfile.TemporaryDirectory() as folder:
        found = rows("strong", 100, STRONG, Path(folder))
        aimed = rows("aimed", 100, AIMED, Path(folder))
        scales = {e: rows(f"scales{e[0]}", 40, SCALES.format(epsilon=e), Path(folder)) for e in ("2/255", "1/255")}
    pgd, strong = (found[found.attack == name] for name in ("pgd", "autoattack"))
    first, five = int(strong.gradients.iloc[0]), int(strong.gradients.sum())
    once = int(pgd.gradients.iloc[0])
    right = f"{pgd.robust_accuracy.iloc[0]:.0%} and {strong.robust_accuracy.iloc[0]:.0%} right"
    common.record("gradients, autoattack / PGD-20, vqc1 at 1/255", f"{first / once:.2f} ({first} to {once}; {right})", "3")
    common.record("gradients, autoattack at five nested epsilons / at the first", f"{five / first:.2f} ({five})", "1.3")
    for (head, device), table in aimed.groupby(["head", "device"]):
        first, second = table.sort_values("epsilon").itertuples()
        right = f"{first.robust_accuracy:.0%} and {second.robust_accuracy:.0%} right at 1/255 and 2/255"
        spent = first.gradients / (first.clean_accuracy * first.n_evaluated)
        common.record(f"bottleneck attack alone, {head} on {device}", f"{right}; {spent:.1f} gradients an image", "3 %; 40")
    for epsilon, table in scales.items():  # who withstands everything costs the whole budget at each scale, and must
        begun, alone = table[table.start_key != ""], table[table.start_key == ""]
        ten, one = total_gradients(begun), int(alone.gradients.iloc[0])
        robust = round(alone.robust_accuracy.iloc[0] * alone.n_evaluated.iloc[0])
        text = f"{ten / one:.2f} ({ten} to {one}, the search of the ideal twin included; {robust} of 40 withstand)"
        limit = "1.5" if not robust else "that of the images that withstand"
        common.record(f"gradients, autoattack on ten noise scales / on one without `ideal`, at {epsilon}", text, limit)


if __name__ == "__main__":
    main()
