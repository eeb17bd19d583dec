"""The flags of attacks that are stuck: rows that earn them, and rows that are close to it and do not."""

import numpy as np
import pandas as pd
import pytest
from audit_rows import CLEAN, KINDS, STEPS, flags_of, row, survivors

from hqc_ray.evaluation import audit
from hqc_ray.evaluation.statistics import pack

KINDS["bottleneck"] = "budget"
AIMED = row("bottleneck", 0.05, survivors(0, 20), aims=True, trapped_share=0.1)
TRANSFER = {"search_model_key": "another", "audience": "others"}


def trapped(attack="deepfool", epsilon=0.05, share=0.1, **more):
    return row(attack, epsilon, survivors(0, 20), trapped_share=share, **more)


def test_a_row_of_a_trapped_model_needs_an_attack_that_aims_beside_it():
    assert flags_of(trapped()) == flags_of(trapped(share=2 / 40, clean=survivors(0, 40))) == [["trapped"]]
    assert flags_of(trapped(), AIMED) == [[], []]
    for elsewhere in ({"norm": "l2"}, {"level": "features"}, {"epsilon": 0.04}, {"device": "another"}, {"status": "failed"}):
        assert flags_of(trapped(), AIMED | elsewhere)[0] == ["trapped"], elsewhere
    assert flags_of(trapped(), AIMED | TRANSFER)[0] == ["trapped"]  # what aims at another model's corners
    assert flags_of(trapped(), AIMED | {"aims": False})[0] == ["trapped"]


def test_nothing_aims_past_dead_units():
    wide = {"n_qubits": None}
    assert flags_of(trapped(**wide), AIMED | wide) == [["trapped"], ["trapped"]]
    for hidden, expected in ((12, []), (13, ["trapped"])):  # an MLP's few hidden units are a bottleneck
        mlp = {"head": "mlp", "n_qubits": None, "model_options": f'{{"hidden": {hidden}}}'}
        assert flags_of(trapped(**mlp), AIMED | mlp) == [expected, expected]


@pytest.mark.parametrize("sound", [
    trapped(share=0.02), trapped(share=0.0), trapped(share=None), trapped(share=float("nan")),
    trapped(share=1 / 40, clean=survivors(0, 40)),
    trapped("noise"), trapped("clean"), trapped(**TRANSFER), AIMED, trapped(share=0.01, n_qubits=None),
])  # fmt: skip
def test_nobody_else_is_trapped(sound):
    assert flags_of(sound) == [[]]


def test_an_attack_that_missed_three_images_is_dominated():
    pgd = row("pgd", 0.05, survivors(0, 20))
    missed = [row("deepfool", 0.05, survivors(k, 40)) for k in (2, 3)]
    assert flags_of(pgd, missed[0]) == [[], ["dominated"]]  # an attack for the nearest point as well
    assert flags_of(pgd, missed[1]) == [["dominated"], ["dominated"]]  # though the other leaves 17 images more right
    assert flags_of(missed[1], row("deepfool", 0.04, survivors(3, 40))) == [[], []]
    together = row("noise", 0.05, survivors(2, 50)), row("deepfool", 0.03, CLEAN & ~survivors(19, 20))
    assert flags_of(pgd, *together)[0] == ["dominated"]  # two at the same epsilon, one at a smaller one
    assert flags_of(pgd, row("deepfool", 0.05, survivors(3, 40), **TRANSFER))[0] == ["dominated"]


@pytest.mark.parametrize("other", [
    row("deepfool", 0.06, survivors(3, 40)),
    row("deepfool", 0.05, survivors(3, 40), norm="l2"),
    row("deepfool", 0.05, survivors(3, 40), level="features"),
    row("deepfool", 0.05, survivors(3, 40), device="another"),
    row("deepfool", 0.05, survivors(3, 40), clean=survivors(3, 50)),  # they had not been right before it
])  # fmt: skip
def test_only_what_fell_within_the_ball_dominates(other):
    assert flags_of(row("pgd", 0.05, survivors(0, 20)), other)[0] == []


@pytest.mark.parametrize("changes", [
    {"gradient_steps": 1}, {"gradient_steps": None}, {"access": "ideal"}, TRANSFER, {"shots": 100},
])  # fmt: skip
def test_dominated_are_attacks_that_should_have_found_it(changes):
    """One step, a twin, another model, or shots, of which each look fools somebody: there it is no wonder."""
    pgd = row("pgd", 0.05, survivors(0, 20)) | changes
    deepfool = row("deepfool", 0.05, survivors(3, 40), **({"shots": 100} if "shots" in changes else {}))
    assert "dominated" not in flags_of(pgd, deepfool)[0]


def along(*survived, attack="pgd", **more):
    """The flags of one attack at epsilons 0.01, 0.02, 0.04, ... that leave so many images right."""
    return flags_of(*[row(attack, 0.01 * 2**i, survivors(0, k), **more) for i, k in enumerate(survived)])


def test_a_plateau_is_an_attack_that_stopped_falling():
    assert along(20, 20) == [[], ["plateau"]]
    assert along(20, 16) == [[], ["plateau"]]  # 4 fewer: p = 1/16
    assert along(20, 15) == [[], []]  # 5 fewer: p = 1/32
    assert along(20, 15, 14) == [[], [], ["plateau"]]
    assert along(4, 4) == [[], ["plateau"]]  # Wilson: from 0.026
    assert along(3, 3) == [[], []]  # from 0.017


def test_a_plateau_needs_a_doubling_of_epsilon():
    small = row("pgd", 0.01, survivors(0, 20))
    assert flags_of(small, row("pgd", 0.0199, survivors(0, 20))) == [[], []]
    assert flags_of(small, row("pgd", 0.05, survivors(0, 20))) == [[], ["plateau"]]
    assert flags_of(row("pgd", 1 / 255, survivors(0, 20)), row("pgd", 2 / 255, survivors(0, 20)))[1] == ["plateau"]


def test_an_epsilon_at_which_hardly_anything_fell_is_no_plateau():
    assert along(49, 48) == [[], []]
    assert along(43, 41) == [[], []]  # 7 fell before, 2 since: p = 0.09
    assert along(40, 39) == [[], ["plateau"]]  # 10 and 1: p = 0.006


@pytest.mark.parametrize("more", [{"attack": "fgsm"}, {"attack": "deepfool"}, TRANSFER, {"access": "ideal"}])
def test_plateaus_are_of_attacks_that_climb(more):
    assert "gradient_steps" in row("pgd", 0.01, CLEAN)
    assert STEPS["pgd"] > 1
    assert along(20, 20, **more) == [[], []]


IDLE = {"linear_distance_linf": 0.025, "linear_distance_l2": 1.0}


def idle(kept, attack="fgsm", epsilon=0.05, **more):
    return "no_better_than_nothing" in flags_of(row(attack, epsilon, survivors(0, kept), **(IDLE | more)))[0]


def test_an_attack_that_fools_hardly_anybody_where_half_should_fall():
    assert idle(50)
    assert idle(46)  # 4 of 50: p = 1/16
    assert not idle(45)
    assert not idle(50, epsilon=0.049)  # a robust model, or a small epsilon: below twice the linear distance
    assert not idle(50, norm="l2")
    assert idle(50, norm="l2", epsilon=2.0)
    assert not idle(50, linear_distance_linf=None)
    assert not idle(50, attack="noise")
    assert not idle(50, **TRANSFER)
    assert not idle(9, clean=survivors(0, 9))  # of so few, none could show it
    assert idle(10, clean=survivors(0, 10))


def test_what_is_certified_need_not_fall():
    assert not idle(50, certified_correct=pack(survivors(0, 41)))
    assert idle(50, certified_correct=pack(survivors(0, 40)))


def test_rows_of_before_know_nothing_of_all_this():
    new = ("n_qubits", "gradient_steps", "aims", "shots", "trapped_share")
    old = [{k: v for k, v in r.items() if k not in new} for r in (row("pgd", 0.01, CLEAN), row("pgd", 0.05, survivors(0, 20)))]
    assert list(audit.flags(pd.DataFrame(old)).values()) == [[], []]


def test_an_attack_along_the_loss_that_one_which_aims_outdoes():
    pgd, aimed = row("pgd", 0.05, survivors(0, 20)), row("bottleneck", 0.05, survivors(0, 13), aims=True)
    assert flags_of(pgd, aimed) == [["dominated", "targets_beat_loss"], []]  # 7 fewer: p = 1/128
    assert "targets_beat_loss" not in flags_of(pgd, row("bottleneck", 0.05, survivors(0, 14), aims=True))[0]
    no_bottleneck = [one | {"n_qubits": None, "head": "linear"} for one in (pgd, aimed)]
    assert flags_of(*no_bottleneck)[0] == ["dominated"]  # what aims had nothing to aim at there: other members broke them
    for other in ({"aims": False}, {"norm": "l2"}, {"epsilon": 0.04}, {"access": "ideal"}, TRANSFER, {"device": "another"}):
        assert "targets_beat_loss" not in flags_of(pgd, aimed | other)[0], other
    assert "targets_beat_loss" not in flags_of(pgd | {"gradient_steps": 1}, aimed)[0]


def test_an_attack_that_aims_is_neither_dominated_nor_outdone():
    aimed = row("bottleneck", 0.05, survivors(0, 20), aims=True, gradient_steps=8)
    assert flags_of(aimed, row("bottleneck", 0.05, survivors(0, 10), aims=True, attack_options='{"rounds": 8}'))[0] == []


@pytest.mark.parametrize(("column", "flag"), [("random_share", "random_outputs"), ("batch_dependent_share", "depends_on_batch")])
def test_models_that_are_not_steady(column, flag):
    assert flags_of(row("noise", 0.05, CLEAN, **{column: 0.11})) == [[flag]]
    for sound in (0.1, 0.0, None, float("nan")):
        assert flags_of(row("noise", 0.05, CLEAN, **{column: sound})) == [[]]


def test_what_is_random_is_not_put_down_to_neighbours():
    assert flags_of(row("noise", 0.05, CLEAN, random_share=1.0, batch_dependent_share=1.0)) == [["random_outputs"]]


def test_what_a_cell_to_come_may_settle_is_not_flagged_before():
    def raised(*rows):
        return [next(iter(audit.flags(pd.DataFrame(rows), unfinished=some).values())) for some in (False, True)]

    assert raised(trapped()) == [["trapped"], []]
    assert raised(trapped(n_qubits=None)) == [["trapped"]] * 2  # nothing aims past dead units
    pgd, other = row("pgd", 0.05, survivors(0, 40)), row("pgd", 0.05, survivors(0, 10), **TRANSFER)
    assert raised(pgd, other) == [["transfer_stronger", "dominated"], ["dominated"]]
    weak, noise = row("pgd", 0.05, survivors(0, 40)), row("noise", 0.05, survivors(0, 41))
    assert raised(weak, noise) == [["noise_as_strong"]] * 2
    assert raised(weak, noise | TRANSFER) == [["noise_as_strong"], []]
    assert "no_noise_control" in audit.notes(pd.DataFrame([weak]))
    assert "no_noise_control" not in audit.notes(pd.DataFrame([weak]), unfinished=True)
    assert "no_noise_control" not in audit.notes(pd.DataFrame([weak, noise | {"status": "failed"}]))  # it is in the sweep


def test_no_flag_of_an_unfinished_sweep_is_taken_back():
    """Whatever subset of the rows is there first."""
    draw = np.random.default_rng(3)
    names = ("noise", "fgsm", "pgd", "deepfool", "bottleneck")
    rows = []
    for name in names:
        for more in ({}, TRANSFER):
            for epsilon in (0.01, 0.02, 0.05):
                its = row(name, epsilon, survivors(0, draw.integers(0, 50)), aims=name == "bottleneck", trapped_share=0.1, **more)
                rows.append(its | {"weights": "imagenet", "robust_accuracy": 0.5})
    everything = audit.flags(pd.DataFrame(rows))
    lost = set()
    for _ in range(60):
        there = pd.DataFrame([r for r in rows if draw.random() < draw.random()] or rows[:1])
        for key, its in audit.flags(there, unfinished=True).items():
            assert set(its) <= set(everything[key])
        lost |= {flag for key, its in audit.flags(there).items() for flag in set(its) - set(everything[key])}
    assert lost == {"trapped", "transfer_stronger", "noise_as_strong"}  # which is what the others would have been
