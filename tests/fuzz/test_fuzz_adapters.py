"""Attacks of other libraries that cannot work, or are asked for what they do not have: one line of the plan."""

from __future__ import annotations

import contextlib
from importlib import import_module, metadata

import pytest

from tests.fuzz.promise import refused

for _library in ("foolbox", "torchattacks", "art.attacks.evasion", "art.estimators.classification"):
    with contextlib.suppress(ImportError):
        import_module(_library)  # what is timed is the refusal

SWEEP = """
name: fuzzed
defaults:
  data: {source: synthetic, size: 120, size_pixels: 32}
  model: {backbone: cnn1, head: linear}
  attack: ATTACK
blocks: [{}]
"""
DISTRIBUTIONS = {"foolbox": "foolbox", "art": "adversarial-robustness-toolbox", "torchattacks": "torchattacks"}
CASES = {
    "a misspelt name": ("{name: 'foolbox:LinfPDG', epsilon: 0.1}", "did you mean 'foolbox:LinfPGD'?"),
    "a misspelt name of another": ("{name: 'art:ProjectedGradientDecent', epsilon: 0.1}", "did you mean 'art:ProjectedGradient"),
    "no name": ("{name: 'torchattacks:', epsilon: 0.1}", "unknown attack 'torchattacks:'"),
    "two classes for dlr": ("{name: 'torchattacks:APGD', epsilon: 0.1, loss: dlr}", "needs 3 classes, and the data has 2"),
    "two classes for art's": (
        "{name: 'art:AutoProjectedGradientDescent', epsilon: 0.1, loss_type: difference_logits_ratio}", "needs 3 classes",
    ),
    "autoattack of theirs": ("{name: 'torchattacks:AutoAttack', epsilon: 0.1}", "(valid: autoattack, apgd"),
    "a sparse attack": ("{name: 'torchattacks:Pixle', epsilon: 0.1}", "l0, which is no norm here"),
    "another norm": ("{name: 'foolbox:LinfPGD', epsilon: 0.1, norm: l2}", "works in linf"),
    "a misspelt option": ("{name: 'foolbox:LinfPGD', epsilon: 0.1, stps: 3}", "'stps'; did you mean 'steps'? (valid: norm="),
    "an option that is ours": ("{name: 'torchattacks:PGD', epsilon: 0.1, eps: 0.2}", "unknown option 'eps'"),
    "no steps": ("{name: 'foolbox:LinfPGD', epsilon: 0.1, steps: 0}", "1 to 1,000,000"),
    "steps in words": ("{name: 'torchattacks:PGD', epsilon: 0.1, steps: many}", "steps"),
    "steps that are none": ("{name: 'art:ProjectedGradientDescent', epsilon: 0.1, max_iter: true}", "a boolean is no number"),
    "a step back": ("{name: 'torchattacks:PGD', epsilon: 0.1, alpha: -1}", "alpha"),
    "a step without end": ("{name: 'torchattacks:PGD', epsilon: 0.1, alpha: 1e300}", "alpha"),
    "a loss that is none": ("{name: 'foolbox:L2DeepFoolAttack', epsilon: 0.1, loss: hinge}", "'logits' or 'crossentropy'"),
    "another version": ("{name: 'foolbox:FGSM', epsilon: 0.1, library: Foolbox 1.0}", "Input should be 'Foolbox"),
    "pixels only": ("{name: 'torchattacks:PGD', epsilon: 0.1, level: features}", "does not search at the level 'features'"),
    "a box that features have not": ("{name: 'foolbox:LinfPGD', epsilon: 0.1, level: features}", "(valid: pixels, angles)"),
    "what the library asserts": ("{name: 'foolbox:L2CarliniWagnerAttack', epsilon: 0.1, binary_search_steps: 0}", "1 to 1,0"),
    "restarts of nothing random": ("{name: 'foolbox:LInfFMNAttack', epsilon: 0.1, restarts: 2}", "draws no random numbers"),
    "a member of another norm": (
        "{name: ensemble, epsilon: 0.1, members: {'foolbox:L2PGD': {}}}", "members.foolbox:L2PGD: attack 'foolbox:L2PGD': norm",
    ),
    "a member without a name": ("{name: autoattack, epsilon: 0.1, members: {'art:': {}}}", "unknown attack 'art:'"),
    "no pairs": ("{name: spsa, epsilon: 0.1, pairs: 0}", "1 to 10,000"),
    "no distance": ("{name: spsa, epsilon: 0.1, delta: 0}", "above 0"),
    "draws of logits alone": ("{name: spsa, epsilon: 0.1, draws: 2}", "SPSA takes no gradients to average"),
}  # fmt: skip
NEEDS_NO_LIBRARY = {"a misspelt name", "a misspelt name of another", "no name", "autoattack of theirs", "a sparse attack",
                    "a member without a name"}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_a_library_cannot_do_is_one_line_of_the_plan(name, tmp_path):
    attack, says = CASES[name]
    named = [distribution for prefix, distribution in DISTRIBUTIONS.items() if f"{prefix}:" in attack]
    for distribution in named if name not in NEEDS_NO_LIBRARY else ():
        try:
            metadata.version(distribution)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed")
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", attack))
    assert says in refused(tmp_path, "plan", file)


def test_a_library_that_is_not_installed_is_one_line_with_the_command(tmp_path, monkeypatch):
    from hqc_ray.attacks import libraries

    def missing(distribution):
        raise metadata.PackageNotFoundError(distribution)

    monkeypatch.setattr(libraries.adapter, "metadata", type("Nothing", (), {"version": staticmethod(missing),
                        "PackageNotFoundError": metadata.PackageNotFoundError}))  # fmt: skip
    libraries.entry.cache_clear()
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", "{name: 'torchattacks:PGD', epsilon: 0.1}"))
    line = refused(tmp_path, "plan", file)
    libraries.entry.cache_clear()
    assert "attack 'torchattacks:PGD' needs torchattacks, which is not installed (valid: pip install torchattacks)" in line


def test_what_a_library_raises_is_one_line_of_the_plan(tmp_path, monkeypatch):
    from hqc_ray.attacks import libraries

    def broken(*_):
        raise ValueError("no such image")

    monkeypatch.setattr(libraries.FOOLBOX.base, "found", broken)
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP.replace("ATTACK", "{name: 'foolbox:FGSM', epsilon: 0.1}"))
    line = refused(tmp_path, "plan", file)
    assert "cannot run attack 'foolbox:FGSM': ValueError: no such image" in line
    assert "(valid: norm='linf', restarts=1" in line
