"""Attacks of other libraries by name: they find what the library finds when it is called by hand, and leave nothing behind."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from attack_outcomes import right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks import libraries
from hqc_ray.attacks.libraries.handed import Handed
from hqc_ray.attacks.spaces import ANGLES
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError

CHEAP = {
    "steps": 6, "max_iter": 3, "n_queries": 30, "binary_search_steps": 2, "repeats": 5, "nb_random_init": 1, "init_eval": 5,
    "max_eval": 10, "initial_gradient_eval_steps": 5, "max_gradient_eval_steps": 10, "m": 2, "N": 2,
}  # fmt: skip
SLOW = {"art:BoundaryAttack", "art:CarliniLInfMethod"}  # minutes, whatever their options
NAMES = [f"{library.name}:{own}" for library in libraries.LIBRARIES.values() for own in library.attacks]


def entry(name):
    """The entry of a library's attack; the test is skipped without the library."""
    try:
        return libraries.entry(name)
    except AttackError as problem:
        if "not installed" in str(problem):
            pytest.skip(str(problem))
        raise


def cheap(name, **options):
    fields = entry(name).model_fields
    return attacks.get(name, **{k: v for k, v in CHEAP.items() if k in fields} | options)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_every_attack_of_the_tables_runs_is_repeatable_and_says_its_options(name, toy):
    images, labels = toy.images[:8, :, 1:11], toy.labels[:8]
    model = nn.Sequential(nn.ZeroPad2d((0, 0, 1, 1)), toy.model).eval()
    for norm in entry(name).norms:
        attack = cheap(name, norm=norm)
        assert attacks.get(name, **attack.model_dump(mode="json")) == attack
        assert attack.library in {"Foolbox 3.3.4", "ART 1.20.1", "torchattacks 3.3.0", "torchattacks 3.5.1"}
        assert attack.cost(2) > 0
        epsilons, streams = [0.05] if norm == "linf" else [0.5], _streams()
        first, second = (attacks.run(attack, model, images, labels, epsilons, seed=3, keep=8) for _ in range(2))
        assert torch.equal(first.per_epsilon[0].adversarial, second.per_epsilon[0].adversarial)
        assert not first.per_epsilon[0].not_finite.any()
        assert (first.gradients == 0) == attack.black_box
        assert first.forwards > 0
        assert _streams() == streams


def _streams():
    numpy = np.random.get_state()  # noqa: NPY002 - the global stream is what a library draws from
    return torch.default_generator.get_state().tolist(), numpy[1].tolist(), numpy[2], random.getstate()


def by_hand(name, toy, epsilon):
    """PGD of a library, twenty steps of 2.5 epsilon / 20, without a random start."""
    size = 2.5 * epsilon / 20
    if name.startswith("foolbox"):
        import foolbox

        found = foolbox.attacks.LinfPGD(steps=20, abs_stepsize=size, random_start=False)
        where = foolbox.PyTorchModel(toy.model, bounds=(0, 1), device="cpu")
        return found(where, toy.images, toy.labels, epsilons=[epsilon])[1][0]
    if name.startswith("torchattacks"):
        import torchattacks

        model = copy.deepcopy(toy.model).requires_grad_(True)  # it is left in training mode
        return torchattacks.PGD(model, eps=epsilon, alpha=size, steps=20, random_start=False)(toy.images, toy.labels)
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(toy.model, nn.CrossEntropyLoss(), (3, 12, 10), 2, clip_values=(0, 1), device_type="cpu")
    attack = ProjectedGradientDescent(classifier, eps=epsilon, eps_step=size, max_iter=20, batch_size=200, verbose=False)
    return torch.from_numpy(attack.generate(toy.images.numpy(), y=toy.labels.numpy()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("foolbox:LinfPGD", {"steps": 20, "random_start": False}),
        ("torchattacks:PGD", {"steps": 20, "random_start": False}),
        ("art:ProjectedGradientDescent", {"max_iter": 20}),
    ],
)
def test_it_finds_what_the_library_finds(name, options, toy):
    attack = (entry(name), attacks.get(name, **options))[1]
    assert not attack.varies
    assert attack.gradient_steps == 20
    result = attacks.run(attack, toy.model, toy.images, toy.labels, [0.04], seed=0, batch_size=200, keep=200)
    theirs = by_hand(name, toy, 0.04)
    attacked = torch.as_tensor(result.attacked)
    near = (result.per_epsilon[0].adversarial - theirs).abs()[attacked].flatten(1).amax(1) < 1e-5
    assert near.float().mean() > 0.98  # a float32 gradient of 0 may have another sign in another batch
    assert result.gradients == 20 * attacked.sum()
    ours = attacks.run(attacks.get("pgd", steps=20, random_start=False), toy.model, toy.images, toy.labels, [0.04], seed=0)
    assert abs(int(right(result, toy.labels).sum()) - int(right(ours, toy.labels).sum())) <= 1


def test_the_step_size_is_ours_unless_it_is_asked_for():
    entry("foolbox:LinfPGD")
    assert attacks.get("foolbox:LinfPGD", steps=10).given(0.1)["rel_stepsize"] == 0.25
    assert attacks.get("foolbox:LinfPGD", steps=10, rel_stepsize=0.5).given(0.1)["rel_stepsize"] == 0.5
    assert attacks.get("foolbox:LinfPGD", steps=10, abs_stepsize=0.5).given(0.1)["rel_stepsize"] is None
    assert attacks.get("foolbox:MIFGSM").given(0.1)["rel_stepsize"] == 0.1
    assert attacks.get("foolbox:L2DeepFoolAttack", steps=7).given(0.1)["steps"] == 7


def test_the_row_says_the_library_and_another_version_is_refused():
    own = entry("foolbox:L2PGD")
    assert own(steps=3).model_dump()["library"] == "Foolbox 3.3.4"
    assert own().norm == "l2"
    with pytest.raises(AttackError, match=r"library: .* Input should be 'Foolbox 3\.3\.4', not 'Foolbox 3\.0\.0'"):
        attacks.get("foolbox:L2PGD", library="Foolbox 3.0.0")
    with pytest.raises(AttackError, match="norm=linf: Foolbox L2PGD works in l2"):
        attacks.get("foolbox:L2PGD", norm="linf")


def test_kinds_and_randomness_are_said():
    assert (entry("foolbox:L2DeepFoolAttack").kind, entry("foolbox:LInfFMNAttack").norms) == ("minimal", ("linf",))
    assert attacks.get("foolbox:L2DeepFoolAttack").gradient_steps is None
    assert attacks.get("foolbox:HopSkipJumpAttack").black_box
    with pytest.raises(AttackError, match="draws no random numbers"):
        attacks.get("foolbox:LinfPGD", random_start=False, restarts=2)
    with pytest.raises(AttackError, match="takes no gradients to average"):
        attacks.get("foolbox:BoundaryAttack", draws=2)


def test_a_decision_attack_starts_at_an_image_of_another_class_and_leaves_those_without_one(toy):
    entry("foolbox:HopSkipJumpAttack")
    attack = cheap("foolbox:HopSkipJumpAttack", norm="l2")
    result = attacks.run(attack, toy.model, toy.images[:10], toy.labels[:10], [4.0], seed=0, keep=10)
    assert right(result, toy.labels[:10]).sum() < result.attacked.sum()
    same = toy.labels == 0
    alone = attacks.run(attack, toy.model, toy.images[same][:6], toy.labels[same][:6], [4.0], seed=0, keep=6)
    assert torch.equal(alone.per_epsilon[0].adversarial, toy.images[same][:6])


def test_foolbox_searches_angles_within_their_box_and_no_features():
    attack = (entry("foolbox:LinfPGD"), attacks.get("foolbox:LinfPGD", steps=8))[1]
    weights = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 1.0]])
    angles = torch.tensor([[1.5, -1.5, 0.1], [1.5, -1.0, 0.3]])
    view = View(lambda x: x @ weights.T, 2, ANGLES)
    found = next(attack.find(view, angles, torch.tensor([0, 0]), [0.2], torch.Generator().manual_seed(0)))
    best = (angles + 0.2 * (weights[1] - weights[0]).sign()).clamp(ANGLES.low, ANGLES.high)
    torch.testing.assert_close(found, best)
    assert attack.reaches == ("pixels", "angles")


def test_what_libraries_are_handed_casts_and_cannot_be_written_into():
    weights = torch.eye(2, dtype=torch.float64)
    view = View(lambda x: x @ weights, 3)
    handed = Handed(view, torch.zeros(3, 2, dtype=torch.float64))
    images = torch.rand(3, 2)
    out = handed(images)
    assert out.dtype == torch.float32
    out.fill_(-torch.inf)
    torch.testing.assert_close(handed(images), images)
    assert next(handed.parameters()).device == images.device
    assert not handed.train().training


def test_ensembles_have_members_of_libraries(toy):
    entry("foolbox:LinfPGD")
    both = attacks.get("ensemble", members={"fgsm": {}, "foolbox:LinfPGD": {"steps": 10}})
    assert attacks.get("ensemble", **both.model_dump(mode="json")) == both
    result, alone = (attacks.run(a, toy.model, toy.images, toy.labels, [0.04], 0) for a in (both, attacks.get("fgsm")))
    assert right(result, toy.labels).sum() < right(alone, toy.labels).sum()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("foolbox:LinfPDG", r"unknown attack 'foolbox:LinfPDG'; did you mean 'foolbox:LinfPGD'\?"),
        ("torchattacks:AutoAttack", "needs more than two classes.*autoattack, apgd"),
        ("torchattacks:APGDT", "needs more than two classes"),
        ("torchattacks:EOTPGD", "asks a model twice.*draws"),
        ("art:SignOPTAttack", "refuses models of two classes"),
        ("foolbox:L1PGD", "searches in l1, which is no norm here"),
        ("foolbox:L2BrendelBethgeAttack", "needs numba"),
        ("foolbox.attacks:LinfPGD", "is not a subclass of hqc_ray"),  # a user's own would be
    ],
)
def test_what_cannot_work_is_refused_by_name(name, says):
    with pytest.raises(AttackError, match=says):
        attacks.get(name)


def test_a_missing_library_is_one_line_with_the_command(monkeypatch):
    def missing(name):
        raise libraries.adapter.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(libraries.adapter.metadata, "version", missing)
    libraries.entry.cache_clear()
    with pytest.raises(AttackError, match=r"'art:DeepFool' needs ART, .* \(valid: pip install adversarial-robustness-toolbox\)"):
        attacks.get("art:DeepFool")
    libraries.entry.cache_clear()
