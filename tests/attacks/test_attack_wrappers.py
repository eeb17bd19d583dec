"""Restarts and ensembles wrap any search; who cannot use them says so; and what an attack's class says of it."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from attack_outcomes import right

from hqc_ray import attacks
from hqc_ray.attacks.base import QUERY
from hqc_ray.attacks.losses import margin
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError

EPSILONS = {"linf": [0.02, 0.05], "l2": [0.2, 0.5]}


class Darts(attacks.Attack):
    """A user's own: one random corner of the ball, the same direction for every epsilon."""

    random: ClassVar[bool] = True

    def search(self, view, values, labels, epsilons, generator):
        direction = (torch.rand(values.shape, generator=generator) - 0.5).sign()
        for epsilon in epsilons:
            yield values + epsilon * direction


class Plain(attacks.Attack):
    """A user's own, with nothing but a search."""

    def search(self, view, values, labels, epsilons, generator):
        for epsilon in epsilons:
            yield values + epsilon * view.gradient(values, labels).gradient.sign()


def run(attack, toy, epsilons=None, **options):
    return attacks.run(attack, toy.model, toy.images, toy.labels, epsilons or EPSILONS[attack.norm], 0, keep=200, **options)


@pytest.mark.parametrize("make", [Darts, partial(attacks.PGD, steps=1)], ids=["darts", "pgd"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_restarts_help_any_random_search_and_visit_only_what_is_left(make, norm, toy):
    once, often = run(make(norm=norm), toy), run(make(norm=norm, restarts=4), toy)
    kept_once, kept_often = right(once, toy.labels), right(often, toy.labels)
    for i, (one, other) in enumerate(zip(once.per_epsilon, often.per_epsilon, strict=True)):
        assert (kept_often[i] <= kept_once[i]).all()
        fooled = torch.as_tensor(once.attacked & ~kept_once[i])
        kept = other.adversarial[fooled]  # the first run is the single one; it is projected once more
        torch.testing.assert_close(one.adversarial[fooled], kept, atol=1e-6, rtol=0)
        evaluated = other.forwards - other.gradients
        attacked, left = int(once.attacked.sum()), int(kept_often[i].sum())
        assert attacked + 3 * left <= evaluated <= attacked + 3 * int(kept_once[i].sum())
    assert (kept_often.sum(1) < kept_once.sum(1)).any()


def test_restarts_at_one_epsilon_do_not_depend_on_the_others(toy):
    both, alone = (run(Darts(restarts=3), toy, e) for e in ([0.02, 0.05], [0.05]))
    assert torch.equal(both.per_epsilon[1].adversarial, alone.per_epsilon[0].adversarial)
    assert both.per_epsilon[1].forwards == alone.per_epsilon[0].forwards
    assert both.forwards == sum(p.forwards for p in both.per_epsilon)


def test_restarts_use_the_whole_budget_and_keep_the_largest_margin_where_another_model_judges(toy):
    runs = [run(attacks.PGD(steps=3, restarts=r), toy, [0.02], audience="others") for r in (1, 4)]
    assert [r.gradients for r in runs] == [3 * 200, 12 * 200]
    labels = toy.labels
    one, four = (margin(toy.model(r.per_epsilon[0].adversarial), labels) for r in runs)
    assert (four >= one - 1e-5).all()
    assert (four > one + 1e-5).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_ensemble_is_as_strong_as_all_its_members(norm, toy):
    members = {"fgsm": {}, "deepfool": {}, "pgd": {"steps": 6}}
    whole = run(attacks.get("ensemble", norm=norm, members=members), toy)
    parts = {name: run(attacks.get(name, norm=norm, **options), toy) for name, options in members.items()}
    kept = {name: right(part, toy.labels) for name, part in parts.items()}
    for name in ("fgsm", "deepfool"):  # the last member has random numbers of its own
        assert (right(whole, toy.labels) <= kept[name]).all()
    assert (right(whole, toy.labels).sum(1) <= kept["pgd"].sum(1) + 2).all()


def test_members_run_in_order_on_what_is_left(toy):
    result = run(attacks.get("fgsm"), toy, [0.05])
    fgsm, kept = result.per_epsilon[0], right(result, toy.labels)[0]
    ensemble = run(attacks.get("ensemble", members={"fgsm": {}, "deepfool": {"max_iter": 1}}), toy, [0.05]).per_epsilon[0]
    attacked, left = int((fgsm.linf > 0).sum()), int(kept.sum())
    assert left > 0
    assert ensemble.gradients == attacked + left
    done = torch.as_tensor(~kept)
    assert torch.equal(ensemble.adversarial[done], fgsm.adversarial[done])


def test_the_order_of_members_does_not_move_their_random_numbers(toy):
    one = run(attacks.get("ensemble", members={"noise": {}}), toy, [0.02])
    two = run(attacks.get("ensemble", members={"clean": {}, "noise": {}}), toy, [0.02])
    moved = two.per_epsilon[0].l2 > 0  # where noise is stronger than nothing
    assert 20 < moved.sum() < one.attacked.sum()
    assert torch.equal(one.per_epsilon[0].adversarial[moved], two.per_epsilon[0].adversarial[moved])


def test_each_member_has_random_numbers_of_its_own(toy):
    attack = attacks.get("ensemble", members={"noise": {}})
    alone, member = (
        next(a.find(View(toy.model, 200, decides=False), toy.images, toy.labels, [0.1], torch.Generator().manual_seed(1)))
        for a in (attacks.get("noise"), attack)
    )
    assert 0.3 < ((alone - toy.images).sign() != (member - toy.images).sign()).float().mean() < 0.7


def test_an_ensemble_has_draws_and_restarts_like_any_other(toy):
    example = attacks.Ensemble.example()
    assert run(example.model_copy(update={"restarts": 2}), toy, [0.02]).gradients > run(example, toy, [0.02]).gradients
    with pytest.raises(AttackError, match="restarts above 1: Ensemble draws no random numbers"):
        attacks.get("ensemble", restarts=2, members={"fgsm": {}, "deepfool": {}})


def test_bad_gradients_of_an_ensemble_are_of_the_first_gradient(toy):
    def dark_is_flat(images):
        logits = toy.model(images)
        return torch.where(images.flatten(1)[:, :1] > 0.5, logits, logits.detach())

    attack = attacks.get("ensemble", members={"clean": {}, "fgsm": {}})
    result = attacks.run(attack, dark_is_flat, toy.images, toy.labels, [0.05], 0)
    dark = toy.images.flatten(1)[:, 0].numpy() <= 0.5
    np.testing.assert_array_equal(result.per_epsilon[0].bad_gradient, dark & result.attacked)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fgsm", {"restarts": 2}, "'fgsm': .*restarts above 1: FGSM draws no random numbers"),
        ("deepfool", {"restarts": 2}, "DeepFool draws no random numbers"),
        ("noise", {"restarts": 2}, "restarts above 1: Noise"),
        ("clean", {"draws": 2}, "draws above 1: Clean takes no gradients"),
        ("noise", {"draws": 2}, "draws above 1: Noise takes no gradients"),
        ("square", {"draws": 2}, "draws above 1: Square takes no gradients"),
        ("pgd", {"restarts": 0}, "restarts"),
        ("pgd", {"draws": 0}, "draws"),
        ("pgd", {"eot": 2}, "unknown option 'eot'.*draws=1"),
        ("ensemble", {}, "'members' is required"),
        ("ensemble", {"members": {}}, "members: .*at least 1 item|at least 1 item"),
        ("ensemble", {"members": ["pgd"]}, "members"),
        ("ensemble", {"members": {"pdg": {}}}, "members.pdg: unknown attack 'pdg'; did you mean 'pgd'"),
        ("ensemble", {"members": {"pgd": {"stepz": 1}}}, "members.pgd.*unknown option 'stepz'"),
        ("ensemble", {"members": {"pgd": 3}}, "members.pgd: options are a mapping, not 3"),
        ("ensemble", {"norm": "l2", "members": {"pgd": {"norm": "linf"}}}, "norm of pgd is not that of the ensemble, l2"),
    ],
)
def test_who_cannot_use_a_wrapper_says_so_in_one_line(name, options, message):
    with pytest.raises(AttackError, match=message) as caught:
        attacks.get(name, **options)
    assert "\n" not in str(caught.value)


OPTIONS = [(name, entry.example(norm=n)) for name, entry in attacks.ATTACKS.items() for n in entry.norms]
MORE = [("pgd", attacks.PGD(restarts=3, draws=2)), ("fgsm", attacks.FGSM(draws=5))]


@pytest.mark.parametrize(("name", "attack"), OPTIONS + MORE, ids=repr)
def test_options_come_back_from_a_sweep_file(name, attack):
    assert attacks.get(name, **attack.model_dump(mode="json")) == attack


def test_wrappers_that_are_not_used_are_not_among_the_options():
    assert attacks.get("fgsm").model_dump() == {"norm": "linf"}
    assert attacks.get("fgsm", draws=3).model_dump() == {"norm": "linf", "draws": 3}
    assert attacks.get("pgd").model_dump().keys() == {"norm", "steps", "step_size", "random_start", "restarts", "early_stop"}


@pytest.mark.parametrize(("name", "attack"), OPTIONS, ids=repr)
def test_facts_stand_on_the_class(name, attack, toy):
    assert attack.title.lower() == name
    assert attack.kind in ("none", "budget", "minimal")
    assert set(attack.levels) <= {"pixels", "features", "angles"}
    assert (attack.cost(3) == 0) is (attack.kind == "none")
    result = run(attack, toy, audience="samples")  # the whole budget
    assert (result.gradients == 0) is (attack.kind == "none" or attack.black_box)
    work = result.gradients + QUERY * result.forwards if attack.black_box else result.gradients
    real = work / result.attacked.sum()
    exact = attack.kind != "minimal" and not attack.nested  # what these cost depends on what they find
    assert attack.cost(2) == pytest.approx(real) if exact else 0.2 < real / attack.cost(2) < 5
    moved = result.per_epsilon[0].l2.any()
    assert moved == attack.perturbs


def test_costs_multiply():
    pgd = attacks.PGD(steps=10, restarts=3, draws=4)
    assert pgd.cost(2) == 240
    assert attacks.FGSM(draws=4).cost(3) == 4
    assert attacks.Ensemble(members={"fgsm": {}, "pgd": {"steps": 10, "restarts": 2}}).cost(3) == 63
    assert attacks.DeepFool().cost(3, n_classes=5) == 4 * attacks.DeepFool().cost(3)


def test_a_users_attack_has_sensible_facts_and_every_level(toy):
    assert (Plain.title, Plain.kind, Plain.random, Plain.norms) == ("Plain", "budget", False, ("linf", "l2"))
    assert Plain.levels == ("pixels", "features", "angles")
    assert Plain().cost(4) == 1
    assert Darts(restarts=3).cost(4) == 12
    assert type("Mine", (attacks.PGD,), {}).title == "Mine"
    assert torch.equal(run(Plain(), toy).per_epsilon[1].adversarial, run(attacks.FGSM(), toy).per_epsilon[1].adversarial)


def test_a_norm_that_an_attack_lacks_is_refused():
    class Signs(attacks.FGSM):
        norms: ClassVar[tuple[str, ...]] = ("linf",)

    assert Signs().norm == "linf"
    with pytest.raises(ValueError, match="norm=l2: Signs works in linf"):
        Signs(norm="l2")
