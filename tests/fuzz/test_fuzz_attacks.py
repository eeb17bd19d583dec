"""Attacks whose options cannot work on the data or the level of a sweep: one line of the plan."""

from __future__ import annotations

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: fuzzed
defaults:
  data: {source: synthetic, size: 120}
  model: {backbone: cnn1, head: linear}
  attack: ATTACK
blocks: [{}]
"""
CASES = {
    "no steps": ("{name: apgd, epsilon: 0.1, steps: 0}", "steps"),
    "steps without end": ("{name: apgd, epsilon: 0.1, steps: 100000000}", "steps"),
    "a loss that is none": ("{name: apgd, epsilon: 0.1, loss: hinge}", "loss"),
    "two classes for dlr": ("{name: apgd, epsilon: 0.1, loss: dlr}", "needs 3 classes, and the data has 2"),
    "two classes for a member": (
        "{name: ensemble, epsilon: 0.1, members: {fgsm: {}, apgd: {loss: dlr}}}", "needs 3 classes, and the data has 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_attack_that_cannot_work_is_one_line_of_the_plan(name, tmp_path):
    attack, says = CASES[name]
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", attack))
    assert says in refused(tmp_path, "plan", file)
