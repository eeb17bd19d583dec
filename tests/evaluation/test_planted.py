"""Planted faults through `hqc sweep`: each is caught by the flag that is meant for it, and what hides nothing raises none."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console

from hqc_ray.errors import HqcError
from hqc_ray.evaluation import audit
from hqc_ray.sweep import run

# the flag that is meant for a fault, and others that the same fault earns; in no row is anything else
FAULTS = {
    "detached": ("bad_gradients", {"gradients_wrong"}),
    "half_detached": ("gradients_wrong", set()),
    "rounded": ("bad_gradients", {"gradients_wrong", "noise_as_strong"}),
    "wrong_signs": ("gradients_wrong", {"no_better_than_nothing", "noise_as_strong"}),
    "SoftmaxHead": ("softmax_output", {"gradients_wrong", "bad_gradients", "trapped", "dominated"}),
    "SaturatedHead": ("bad_gradients", {"gradients_wrong", "trapped", "dominated", "plateau", "noise_as_strong"}),
    "ShakenHead": ("random_outputs", {"trapped", "dominated"}),
    "DeadWiresHead": ("dead_inputs", set()),
}
SOUND = ("sound", "straight_through", "ScaledHead", "LogSoftmaxHead", "tanh")
BACKBONES = [name for name in (*SOUND, *FAULTS) if name[0].islower() and name != "tanh"]
HEADS = [name if name == "tanh" else f"planted:{name}" for name in (*SOUND, *FAULTS) if name not in BACKBONES]
SWEEP = f"""
name: planted
defaults:
  data: {{source: synthetic, size: 160, size_pixels: 32, test_fraction: 0.3}}
  train: {{epochs: 15, learning_rate: 0.03}}
  evaluate: {{images: 40, batch_size: 40}}
  attack: [{{name: noise, epsilon: [1/255, 0.05]}}, {{name: [fgsm, pgd], epsilon: [1/255, 0.05]}}]
blocks:
  - model: {{backbone: [{", ".join(f"planted:{name}" for name in BACKBONES)}], weights: random, image_size: 32, head: linear}}
  - model: {{backbone: planted:sound, weights: random, image_size: 32, head: [{", ".join(HEADS)}]}}
"""

SEEDS = """
name: seeds
defaults:
  data: {source: synthetic, size: 200, size_pixels: 32, test_fraction: 0.4}
  train: {epochs: 15, learning_rate: 0.03}
  evaluate: {images: 60, batch_size: 60}
  attack: {name: [noise, fgsm, pgd], epsilon: [1/255, 4/255, 0.05]}
  seed: [0, 1, 2, 3, 4]
blocks:
  - model: {backbone: planted:sound, weights: random, image_size: 32, head: [linear, tanh, planted:LogSoftmaxHead]}
"""


def swept(folder, text):
    (folder / "planted.yaml").write_text(text)
    torch.manual_seed(0)  # of the model that draws
    return audit.annotate(run.execute(folder / "planted.yaml", folder / "r", serial=True, console=Console(quiet=True)).rows)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    found = swept(tmp_path_factory.mktemp("planted"), SWEEP)
    assert set(found["status"]) == {"ok"}, found["error"].max()
    faulty = found["head"].where(found["head"] != "linear", found["backbone"]).str.removeprefix("planted:")
    return found.assign(fault=faulty, attacks=found["attack_kind"] != "none")


@pytest.mark.parametrize("name", SOUND)
def test_what_hides_nothing_raises_no_flag(rows, name):
    its = rows[rows["fault"] == name]
    assert len(its) == 6
    assert its["flags"].map(len).sum() == 0, its["flags"].tolist()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("seeds"), SEEDS)


def test_no_seed_of_a_sound_model_raises_a_flag(sound):
    assert len(sound) == 5 * 3 * 3 * 3 == 135  # seeds, heads, attacks, epsilons
    assert set(sound["status"]) == {"ok"}
    assert (sound["n_evaluated"] == 60).all()
    its = sound[sound["flags"].map(len) > 0]
    assert its.empty, its[["seed", "head", "attack", "epsilon", "flags"]].to_string()


def test_these_images_are_enough_to_flag_each_seed(sound):
    """Of the same rows, had PGD found nothing, all of PGD's are flagged beside what FGSM found, whatever the seed."""
    pgd = sound["attack"] == "pgd"
    idle = sound.assign(robust_correct=sound["robust_correct"].where(~pgd, sound["clean_correct"]))
    flags = audit.annotate(idle)["flags"]
    assert pgd.sum() == 45
    assert flags[pgd].map(lambda found: {"pgd_weaker_than_fgsm", "dominated"} <= set(found)).all()
    assert flags[~pgd].map(len).sum() == 0


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_the_flag_that_is_meant_for_it(rows, name):
    meant, others = FAULTS[name]
    its = rows[(rows["fault"] == name) & rows["attacks"]]
    assert len(its) == 4
    for found in its["flags"]:
        assert meant in found
        assert set(found) <= {meant, *others, "near_chance"}, found


def test_gradients_of_random_signs_are_caught_where_noise_fools_nobody(rows):
    its = rows[(rows["fault"] == "wrong_signs") & rows["attacks"] & (rows["epsilon"] < 0.01)]
    assert (its["robust_accuracy"] > 0.9 * its["clean_accuracy"]).all()
    assert its["flags"].map(lambda found: "noise_as_strong" not in found and "gradients_wrong" in found).all()


def test_an_embedding_on_which_nothing_depends_is_refused_by_the_plan(tmp_path):
    with pytest.raises(HqcError, match=r"embedding 'rz' acts on .* as a phase only"):
        swept(tmp_path, SWEEP.replace("head: linear", "head: vqc1, embedding: rz"))
