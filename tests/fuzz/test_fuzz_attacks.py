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
    "two classes for a stage": (
        "{name: autoattack, epsilon: 0.1, members: {apgd: {loss: dlr}}}", "needs 3 classes, and the data has 2",
    ),
    "no queries": ("{name: square, epsilon: 0.1, queries: 0}", "1 to 1,000,000"),
    "no square": ("{name: square, epsilon: 0.1, p: 0}", "above 0 to 1"),
    "beyond the boundary": ("{name: fab, epsilon: 0.1, eta: 0.5}", "1 to 100"),
    "back beyond the start": ("{name: fab, epsilon: 0.1, beta: -1}", "0 to 1"),
    "a growing sum": ("{name: momentum, epsilon: 0.1, decay: 1.5}", "0 to 1"),
    "draws of logits": ("{name: square, epsilon: 0.1, draws: 3}", "draws above 1: Square takes no gradients"),
    "an unknown stage": ("{name: autoattack, epsilon: 0.1, members: {spza: {}}}", "members.spza: unknown attack 'spza'"),
    "no stage": ("{name: autoattack, epsilon: 0.1, members: {}}", "members"),
    "stages in a list": ("{name: autoattack, epsilon: 0.1, members: {fab: [1]}}", "members.fab: options are a mapping"),
    "a stage of another norm": ("{name: autoattack, epsilon: 0.1, members: {fab: {norm: l2}}}", "the norm of fab"),
    "a stage's option": ("{name: autoattack, epsilon: 0.1, members: {square: {queries: many}}}", "members.square"),
    "restarts of nothing random": (
        "{name: autoattack, epsilon: 0.1, restarts: 2, members: {fab: {}}}", "AutoAttack draws no random numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_attack_that_cannot_work_is_one_line_of_the_plan(name, tmp_path):
    attack, says = CASES[name]
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", attack))
    assert says in refused(tmp_path, "plan", file)
