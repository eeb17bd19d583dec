"""Targets of the bottleneck attack that a model does not have, or that are none: one line of the plan."""

from __future__ import annotations

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: fuzzed
defaults:
  data: {source: synthetic, size: 120}
  attack: ATTACK
blocks:
  - model: MODEL
"""
CNN, MLP = "{backbone: cnn1, head: linear}", "{backbone: squeezenet1_0, weights: random, head: mlp}"
CASES = {
    "nothing to aim at": ("{name: bottleneck, epsilon: 0.1, directions: 0}", CNN, "nothing to aim at"),
    "fewer than none": ("{name: bottleneck, epsilon: 0.1, directions: -1}", CNN, "directions"),
    "too many directions": ("{name: bottleneck, epsilon: 0.1, directions: 1000000000}", CNN, "directions"),
    "no number of neighbours": ("{name: bottleneck, epsilon: 0.1, neighbours: many}", CNN, "neighbours"),
    "too many neighbours": ("{name: bottleneck, epsilon: 0.1, neighbours: 1.0e+9}", CNN, "neighbours"),
    "neighbours that are not finite": ("{name: bottleneck, epsilon: 0.1, neighbours: .inf}", CNN, "finite number: .inf"),
    "a kind that is none": ("{name: bottleneck, epsilon: 0.1, counterexamples: sometimes}", CNN, "counterexamples"),
    "a kind that is unknown": ("{name: bottleneck, epsilon: 0.1, targets: all}", CNN, "targets"),
    "of a model trained end to end": (
        "{name: bottleneck, epsilon: 0.1, directions: 0, neighbours: 4}", CNN, "knows no target in cnn1 + linear",
    ),
    "of a head without a bottleneck": (
        "{name: bottleneck, epsilon: 0.1, directions: 0, counterexamples: true}", MLP, "knows no target",
    ),
    "in a member": ("{name: ensemble, epsilon: 0.1, members: {bottleneck: {directions: 0}}}", CNN, "members.bottleneck"),
    "restarts of nothing random": (
        "{name: bottleneck, epsilon: 0.1, directions: 0, neighbours: 1, restarts: 2}", CNN, "draws no random numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_target_that_is_none_is_one_line_of_the_plan(name, tmp_path):
    attack, model, says = CASES[name]
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", attack).replace("MODEL", model))
    assert says in refused(tmp_path, "plan", file)
