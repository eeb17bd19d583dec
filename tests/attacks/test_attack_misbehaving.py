"""Attacks that misbehave: nothing that a search does from inside moves what is judged; what it must not do is one line."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks import balls
from hqc_ray.attacks.steady import frozen, restored
from hqc_ray.errors import AttackError

EPSILONS = [0.01, 0.02]


class Mine(attacks.Attack):
    """A user's own: one step of FGSM, and beside it whatever `trick` does."""

    def trick(self, view, values, labels, epsilons):
        pass

    def search(self, view, values, labels, epsilons, generator):
        directions = view.gradient(values, labels).gradient.sign()
        for epsilon in list(epsilons):
            candidate = values + epsilon * directions
            self.trick(view, values, labels, epsilons)
            yield candidate


def mine(trick, **more):
    return type("Tricky", (Mine,), {"trick": lambda self, *given: trick(*given), **more})


def run(attack, toy, epsilons=EPSILONS, model=None, **more):
    return attacks.run(attack, model or toy.model, toy.images[:20], toy.labels[:20], epsilons, 0, batch_size=8, keep=20, **more)


def leaves_modes(view, *_):
    for module in view.module().modules():
        module.training = True
    for weight in view.module().parameters():
        weight.requires_grad_(True)


def keeps_gradients(view, values, *_):
    for weight in view.module().parameters():
        weight.requires_grad_(True)
    view.module()(values).sum().backward()


def leaves_settings(*_):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_autocast_enabled("cpu", True)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - what users do
    random.seed(3)


TRICKS = {
    "values": lambda view, values, *_: values.add_(1),
    "labels": lambda view, values, labels, epsilons: labels.zero_(),
    "epsilons": lambda view, values, labels, epsilons: epsilons.clear(),
    "counts": lambda view, *_: setattr(view.counts, "gradients", -1000),
    "bad gradients": lambda view, *_: view.bad_gradient.fill_(True),
    "logits": lambda view, values, *_: view.logits(values).zero_(),
    "modes": leaves_modes,
    "gradients": keeps_gradients,
    "settings": leaves_settings,
}


def state():
    return (
        torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.is_autocast_enabled("cpu"),
        torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),  # noqa: NPY002
    )  # fmt: skip


@pytest.mark.parametrize("one_search", [True, False])
@pytest.mark.parametrize("name", TRICKS)
def test_nothing_that_a_search_moves_is_what_is_judged(name, one_search, toy):
    model = copy.deepcopy(toy.model).train()
    before, weights = state(), copy.deepcopy(model.state_dict())
    plain = run(mine(lambda *_: None, one_search=one_search)(), toy, model=model)
    tricky = run(mine(TRICKS[name], one_search=one_search)(), toy, model=model)
    assert state() == before
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())
    assert [(p.requires_grad, p.grad) for p in model.parameters()] == [(True, None)] * 8
    assert all(m.training for m in model.modules())
    np.testing.assert_array_equal(plain.attacked, tricky.attacked)
    first = slice(0, 1 if one_search and name in ("values",) else 2)  # one search: its own later candidates begin elsewhere
    for one, other in zip(plain.per_epsilon[first], tricky.per_epsilon[first], strict=True):
        assert torch.equal(one.adversarial, other.adversarial)
        assert one.gradients == other.gradients or name == "gradients"  # which it took, and which count
        np.testing.assert_array_equal(one.bad_gradient, other.bad_gradient)
    for one, other in zip(plain.verdicts[0].attacked[first], tricky.verdicts[0].attacked[first], strict=True):
        np.testing.assert_array_equal(one.own, other.own)
    assert all(p.linf.max() <= p.epsilon + 1e-6 for p in tricky.per_epsilon)


def test_a_candidate_that_is_changed_after_it_was_yielded_stays_as_it_was(toy):
    class Keeps(Mine):
        def search(self, view, values, labels, epsilons, generator):
            kept = []
            for candidate in super().search(view, values, labels, epsilons, generator):
                kept.append(candidate)
                yield candidate
                for one in kept:
                    one.fill_(0)

    for one, other in zip(run(Mine(), toy).per_epsilon, run(Keeps(), toy).per_epsilon, strict=True):
        assert torch.equal(one.adversarial, other.adversarial)


@pytest.mark.parametrize("options", [{}, {"restarts": 2}])
def test_a_search_that_draws_from_global_streams_is_the_same_in_every_run(options, toy):
    class Global(attacks.Attack):
        random = True
        one_search = False

        def search(self, view, values, labels, epsilons, generator):
            for epsilon in epsilons:
                drawn = np.random.rand(*values.shape)  # noqa: NPY002 - what users do
                noise = torch.rand_like(values) + torch.from_numpy(drawn).float() + random.random()
                yield values + epsilon * (noise - 1.5)

    first = run(Global(**options), toy)
    torch.rand(7)
    again, alone = run(Global(**options), toy), run(Global(**options), toy, [0.02])
    for one, other in zip(first.per_epsilon, again.per_epsilon, strict=True):
        assert torch.equal(one.adversarial, other.adversarial)
    assert torch.equal(first.per_epsilon[1].adversarial, alone.per_epsilon[0].adversarial)  # whatever other epsilons there are
    assert not torch.equal(first.per_epsilon[0].adversarial, first.per_epsilon[1].adversarial)


def changes(what):
    def trick(view, *_):
        weight = next(view.module().parameters())
        what(view, weight)

    return trick


def makes_room(view, weight):
    layer = next(m for m in view.module().modules() if isinstance(m, nn.Conv2d))
    layer.weight = nn.Parameter(layer.weight + 1, requires_grad=False)


def trains(view, weight):
    for module in view.module().modules():
        module.training = True
    view.module()(torch.rand(4, 3, 12, 10))  # batch statistics move


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (lambda view, weight: weight.data.add_(1e-4), "layers.0.weight"),
        (lambda view, weight: weight.data.copy_(-weight.abs()), "layers.0.weight"),
        (makes_room, "layers.0.weight"),
        (trains, "layers.1.running_mean"),
    ],
)
def test_a_search_that_changes_the_model_is_refused(what, name, toy):
    model = copy.deepcopy(toy.model)
    with pytest.raises(AttackError, match=rf"Tricky.*the search changed the model it attacks: '{name}' \(valid: a model left"):
        run(mine(changes(what))(), toy, model=model)


def yields(make):
    class Yields(attacks.Attack):
        def search(self, view, values, labels, epsilons, generator):
            for _ in epsilons:
                yield make(values)

    return Yields()


WRONG = [
    (lambda v: v[:, :1], r"yielded shape \[\d, 1, 12, 10\]"),
    (lambda v: v[0], r"yielded shape \[3, 12, 10\]"),
    (lambda v: v[:0], r"yielded shape \[0, 3, 12, 10\]"),
    (lambda v: (255 * v).to(torch.uint8), "yielded torch.uint8"),
    (lambda v: v.bool(), "yielded torch.bool"),
    (lambda v: v.to(torch.complex64), "yielded torch.complex64"),
    (lambda v: v.to_sparse(), "yielded torch.sparse_coo"),
    (lambda v: v.to("meta"), "yielded a tensor without data"),
    (lambda v: v.numpy(), "yielded no tensor but ndarray"),
    (lambda v: (v, v), "yielded no tensor but tuple"),
    (lambda v: None, "yielded nothing"),
]


@pytest.mark.parametrize("options", [{}, {"restarts": 2}])
@pytest.mark.parametrize(("make", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_is_no_candidate_is_refused(make, says, options, toy):
    attack = type("Random", (type(yields(make)),), {"random": True})(**options)
    with pytest.raises(
        AttackError, match=rf"Random\(.*: the search {says} at epsilon 0.01 \(valid: \[\d, 3, 12, 10\] "
    ) as caught:
        run(attack, toy)
    assert "\n" not in str(caught.value)


def half(values):
    return values.masked_fill(torch.arange(len(values)).reshape(-1, 1, 1, 1) % 2 == 0, torch.nan)


@pytest.mark.parametrize("options", [{}, {"restarts": 2}])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_an_image_whose_candidate_is_not_finite_counts_as_not_fooled(bad, options, toy):
    class Half(attacks.Attack):
        random = True
        one_search = False

        def search(self, view, values, labels, epsilons, generator):
            for _ in epsilons:
                found = 1 - values
                found[::2, 0, 0, 0] = bad
                yield found

    images, labels = toy.images[:20], toy.labels[:20]
    result = attacks.run(Half(**options), toy.model, images, labels, [1.0], 0, keep=20, audience="others")
    part, after = result.per_epsilon[0], result.verdicts[0].attacked[0].own[0]
    assert part.not_finite.tolist() == [True, False] * 10
    assert torch.equal(part.adversarial[::2], images[::2])  # not one pixel of it
    np.testing.assert_array_equal(after[::2], result.clean_predictions[::2])
    assert torch.equal(part.adversarial[1::2], 1 - images[1::2])


def test_another_precision_is_rounded_before_it_is_projected(toy):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        part = run(yields(lambda v, dtype=dtype: (v + 1).to(dtype)), toy).per_epsilon[0]
        assert part.adversarial.dtype == torch.float32
        assert part.linf.max() <= 0.01 + 1e-6
    assert (
        run(yields(lambda v: v.double() * 1e300), toy).per_epsilon[0].not_finite.sum() == 19
    )  # no float32: all that are attacked


class Many(Mine):
    def search(self, view, values, labels, epsilons, generator):
        for epsilon in epsilons:
            for step in (1, 2):
                yield values + epsilon * step / 2


@pytest.mark.parametrize(
    "attack",
    [
        Many(),
        type("ManyEach", (Many,), {"one_search": False})(),
        type("ManyRandom", (Many,), {"random": True})(restarts=2),
        attacks.Ensemble(members={"many": Many()}),
    ],
    ids=lambda a: type(a).__name__,
)
def test_more_candidates_than_epsilons_are_refused(attack, toy):
    with pytest.raises(
        AttackError, match=r"Many.*|member many: the search yielded more candidates than epsilons, [12] \(valid: one"
    ):
        run(attack, toy)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda v: [v, v], "returns list"), (lambda v: v, "returns Tensor"), (lambda v: None, "returns NoneType"),
        (lambda v: (v, v), "returns tuple"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("one_search", [True, False])
def test_a_search_that_is_no_generator_is_refused(given, says, one_search, toy):
    attack = type("Returns", (attacks.Attack,), {"search": lambda self, view, v, *_: given(v), "one_search": one_search})()
    with pytest.raises(AttackError, match=rf"Returns\(.*the search {says} \(valid: yield one candidate per epsilon\)"):
        run(attack, toy)


def test_a_yield_inside_no_grad_does_not_reach_the_caller_and_one_in_inference_mode_is_refused(toy):
    class Inside(Mine):
        inside: str = "no_grad"

        def search(self, view, values, labels, epsilons, generator):
            with getattr(torch, self.inside)():
                yield from super().search(view, values, labels, epsilons, generator)

    for one, other in zip(run(Mine(), toy).per_epsilon, run(Inside(), toy).per_epsilon, strict=True):
        assert torch.equal(one.adversarial, other.adversarial)
    assert torch.is_grad_enabled()
    with pytest.raises(AttackError, match=r"yields inside torch.inference_mode\(\) \(valid: torch.no_grad"):
        run(type("Sealed", (Mine,), {"search": sealed})(), toy)
    assert not torch.is_inference_mode_enabled()


def sealed(self, view, values, labels, epsilons, generator):
    with torch.inference_mode():
        for _ in epsilons:
            yield values + 0.01


def test_a_perturbation_beyond_epsilon_is_never_a_result(toy, monkeypatch):
    monkeypatch.setattr(balls, "project", lambda candidates, *_: candidates)
    run(yields(lambda v: v + 0.01), toy, [0.01])  # within rounding
    with pytest.raises(AttackError, match=r"an image is 0\.0100\d+ from where it was in linf, beyond epsilon 0.01 \(valid"):
        run(yields(lambda v: v + 0.010003), toy, [0.01])
    with pytest.raises(AttackError, match=r"in l2, beyond epsilon 0.189"):
        run(type(yields(lambda v: v + 0.01))(norm="l2"), toy, [0.189])  # sqrt(360) * 0.01 = 0.1897


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_rounding_allows_what_projections_do_and_little_more(norm):
    generator = torch.Generator().manual_seed(0)
    for scale, shape in ((1.0, (4, 3, 64, 64)), (300.0, (4, 512)), (1.0, (4, 5))):
        values = scale * torch.rand(shape, generator=generator)
        space = attacks.SPACES["features"]
        for epsilon in (1e-3, 0.3, 20.0):
            moved = balls.project(values + 100 * torch.randn(shape, generator=generator), values, epsilon, norm, space)
            excess = balls.lengths((moved - values).double(), norm).max() - epsilon
            allowed = balls.rounding(values, epsilon, norm)
            assert excess <= allowed <= 1e-6 * (scale + epsilon) * (1 if norm == "linf" else values[0].numel() ** 0.5)


def test_held_models_are_restored_when_the_search_raises_and_two_may_share_tensors(toy):
    model = copy.deepcopy(toy.model).train()

    def search():
        with frozen(model, model, nn.Sequential(model)) as held:
            held.check("nobody")
            assert not model.training
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search()
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_tensors_of_every_kind_have_their_bits_counted():
    model = nn.Module()
    for i, dtype in enumerate(
        (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8, torch.complex64)
    ):
        model.register_buffer(f"t{i}", torch.ones(2, 3, dtype=dtype))
    for name in [name for name, _ in model.named_buffers()]:
        with frozen(model) as held:
            getattr(model, name)[0, 0] = 0
            with pytest.raises(AttackError, match=f"'{name}'"):
                held.check("mine")


def test_a_change_of_all_signs_is_seen_whatever_the_weights_sum_to():
    model = nn.Module()
    for name, weights in {"balanced": [1.0, -2.0, 3.0, -4.0], "even": [1.0, -1.0, 2.0, 2.0]}.items():
        model.register_buffer(name, torch.tensor(weights))
        with frozen(model) as held:
            getattr(model, name).neg_()
            with pytest.raises(AttackError, match=f"'{name}'"):
                held.check("mine")


def test_global_streams_begin_with_the_seed_inside():
    drawn = []
    for seed in (1, 1, 2):
        with restored(seed, torch.device("cpu")):
            drawn.append((float(torch.rand(())), float(np.random.rand()), random.random()))  # noqa: NPY002 - what users do
    assert drawn[0] == drawn[1] != drawn[2]
