"""One search, many judges: what is searched once, and who decides, counted in gradients."""

import itertools

import numpy as np
import pytest
import torch
from rich.console import Console

from hqc_ray.attacks import SPACES
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.sweep import run
from hqc_ray.sweep.work import searching

SWEEP = """
name: judges
defaults:
  data: {source: synthetic, size: 60, images: 80}
  train: {epochs: 8, learning_rate: 0.01}
  evaluate: EVALUATE
  attack: ATTACK
  device: DEVICE
  seed: SEED
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: HEAD}
"""
FGSM = "{name: fgsm, epsilon: 0.05}"
PGD = "{name: pgd, epsilon: [0.01, 0.05], steps: 3}"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Runs a variant of the sweep; all in one folder, so that models are trained once. Gives its rows."""
    folder = tmp_path_factory.mktemp("judges")

    def execute(evaluate="{images: 10, batch_size: 5}", attack=PGD, device="{name: default.qubit}", seed="0", head="vqc1"):
        text = SWEEP
        for name, value in (("EVALUATE", evaluate), ("ATTACK", attack), ("DEVICE", device), ("SEED", seed), ("HEAD", head)):
            text = text.replace(name, value)
        (folder / "sweep.yaml").write_text(text)
        found = run.execute(folder / "sweep.yaml", folder / "results", serial=True, console=Console(quiet=True)).rows
        assert set(found["status"]) == {"ok"}, found["error"].iloc[0]
        return found

    return execute


@pytest.fixture
def passes(monkeypatch):
    """Images that went through a backbone, forwards and with a gradient; the black one that asks for its width is none."""
    count = {"forward": 0, "gradient": 0}
    forward = Backbone.forward

    def counting(self, images):
        real = int(images.detach().flatten(1).any(1).sum())
        count["forward"] += real
        count["gradient"] += real * images.requires_grad
        return forward(self, images)

    monkeypatch.setattr(Backbone, "forward", counting)
    monkeypatch.setattr(searching, "card", lambda *_: {})  # which looks at some images of its own, once per model and device
    return count


FIVE = (
    "[{name: default.qubit}, {name: lightning.qubit}, {name: qiskit.aer}, {name: qiskit.aer, noise: fake_manila}, "
    "{name: qiskit.aer, noise: fake_manila, shots: 50}]"
)


def test_five_devices_attacked_through_the_ideal_twin_cost_one_search(sweep, passes):
    sweep(attack="{name: clean}")  # trains
    passes.update(forward=0, gradient=0)
    rows = sweep("{images: 10, batch_size: 5, access: ideal}", device=FIVE)
    assert passes["gradient"] == 10 * 3 * 2  # images, steps, epsilons: no device adds to it
    assert len(rows) == 5 * 2
    assert rows["search_key"].nunique() == 1
    assert rows["device"].nunique() == 5
    assert set(rows["search_device"]) == {"ideal"}
    counted = rows.drop_duplicates(["search_key", "epsilon"])["gradients"].sum()
    assert counted == passes["gradient"]
    assert rows.groupby("device")["mean_l2"].nunique().eq(2).all()
    assert not rows["foreign_device"].any()  # the ideal twin is nobody's device


def test_a_model_attacked_through_another_device_is_told_from_its_own_attack(sweep):
    devices = "[{name: default.qubit}, {name: qiskit.aer, noise: fake_manila, shots: 50}]"
    rows = sweep("{images: 10, batch_size: 5, judges: {devices: all}}", device=devices, attack=FGSM)
    told = {(row["search_device"], row["device"]): row["foreign_device"] for row in rows.to_dict("records")}
    noisy, sampled = "qiskit.aer[fake_manila]", "qiskit.aer[fake_manila,shots=50]"
    assert told == {
        ("default.qubit", "default.qubit"): False, ("default.qubit", sampled): True, (noisy, "default.qubit"): True,
        (noisy, sampled): False,
    }  # fmt: skip


def test_a_transfer_matrix_of_three_heads_costs_three_searches(sweep, passes):
    names = ("linear", "tanh", "vqc1")
    heads = f"[{', '.join(names)}]"
    sweep(attack="{name: clean}", head=heads)
    passes.update(forward=0, gradient=0)
    rows = sweep("{images: 10, batch_size: 5, judges: {heads: all}}", head=heads)
    assert passes["gradient"] == 3 * (10 * 3 * 2)
    assert len(rows) == 9 * 2
    assert rows["search_key"].nunique() == 3
    assert set(zip(rows["search_head"], rows["head"], strict=True)) == set(itertools.product(names, names))
    own = rows[rows["search_model_key"] == rows["model_key"]]
    assert len(own) == 6
    clean = rows.groupby("head")["clean_correct"].nunique()
    assert clean.eq(1).all()  # a judge says of the clean images what it always says
    for _, same in rows.groupby(["search_key", "epsilon"]):
        assert same["gradients"].nunique() == 1
        assert same["robust_accuracy"].le(same["clean_accuracy"]).all()


def test_a_judge_is_the_model_that_it_names(sweep):
    """What tanh judges of a search against linear is what tanh says of those very images."""
    rows = sweep("{images: 10, batch_size: 5, judges: {heads: [tanh]}}", head="[linear, tanh]", attack=FGSM)
    pairs = [tuple(pair) for pair in rows[["search_head", "head"]].to_numpy()]
    assert pairs == [("linear", "linear"), ("linear", "tanh"), ("tanh", "tanh")]
    transferred, own = rows.iloc[1], rows.iloc[2]
    assert transferred["model_key"] == own["model_key"] != transferred["search_model_key"]
    assert transferred["clean_correct"] == own["clean_correct"]
    assert transferred["search_key"] != own["search_key"]
    assert transferred["test_accuracy"] == own["test_accuracy"]


def test_another_seed_judges_images_that_it_was_not_trained_on(sweep):
    rows = sweep("{images: 10, batch_size: 5, judges: {seeds: all}}", seed="[0, 1]", head="linear", attack=FGSM)
    across = rows[rows["seed"] != rows["search_seed"]]
    assert len(across) == 2
    assert across["n_evaluated"].lt(10).all()  # most of the other's test images were trained on
    for row in across.to_dict("records"):
        assert len(unpack(row["robust_correct"], row["n_evaluated"])) == row["n_evaluated"]
    own = rows[rows["seed"] == rows["search_seed"]]
    assert own["n_evaluated"].eq(10).all()


@pytest.mark.parametrize("level", ["features", "angles"])
def test_attacks_behind_the_backbone_never_touch_it(sweep, passes, level):
    sweep(attack="{name: clean}")
    passes.update(forward=0, gradient=0)
    attack = f"[{{name: fgsm, epsilon: [0, 0.3], level: {level}}}, {{name: pgd, epsilon: 0.3, steps: 4, level: {level}}}]"
    noisy = "[{name: default.qubit}, {name: qiskit.aer, noise: fake_manila, shots: 50}]"
    rows = sweep(attack=attack, device=noisy)
    assert passes == {"forward": 0, "gradient": 0}
    assert set(rows["level"]) == {level}
    assert set(rows["epsilon_unit"]) == {SPACES[level].unit}
    assert rows["gradients"].max() > 0
    still = rows[rows["epsilon"] == 0]
    assert still["robust_correct"].tolist() == still["clean_correct"].tolist()
    moved = rows[rows["epsilon"] > 0]
    assert np.allclose(moved["mean_linf"], 0.3, atol=0.02 if level == "angles" else 1e-6)
    assert moved["robust_accuracy"].min() < moved["clean_accuracy"].max()


def test_clean_accuracy_is_the_same_at_every_level(sweep):
    attack = "[{name: clean}, {name: clean, level: features}, {name: clean, level: angles}]"
    rows = sweep("{images: null, batch_size: 5}", attack=attack)
    assert rows["clean_correct"].nunique() == 1
    assert (rows["clean_accuracy"] == rows["test_accuracy"]).all()


def test_a_level_that_a_model_does_not_have_is_refused(sweep):
    from hqc_ray.errors import AttackError

    with pytest.raises(AttackError, match=r"linear has no level 'angles' .valid: pixels, features"):
        sweep(head="linear", attack="{name: fgsm, epsilon: 0.1, level: angles}")
    assert torch.get_num_threads() >= 1
