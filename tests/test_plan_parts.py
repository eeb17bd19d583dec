"""Who may judge whom, seat by seat; what a plan is made of; which values are part of a key."""

import itertools

import pytest

from hqc_ray.errors import SpecError
from hqc_ray.plan.judges import Crew, Resolved, Seat
from hqc_ray.plan.keys import attack_label, content_key
from hqc_ray.plan.parts import Cell, Group, Judge, Plan, Search, Training
from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec, TrainSpec

IDEAL, NOISY = DeviceSpec(), DeviceSpec(name="qiskit.aer", noise="fake_manila")
LABELS = {IDEAL.name: "default.qubit", NOISY.name: "qiskit.aer[fake_manila]"}


def training(head="vqc1", seed=0, path="here", **changes):
    data = DataSpec(source="pcam", size=changes.pop("size", 40), path=path)
    train = TrainSpec(epochs=changes.pop("epochs", 30))
    model = ModelSpec(**{"backbone": "resnet18", "head": head, **changes})
    return Training(data, model, train, seed, content_key(data, model, train, seed))


def seat(of, device=IDEAL):
    backbone = content_key(of.model.backbone, of.model.weights, of.model.image_size)
    return Seat(of, device, content_key(device) if device else "", LABELS[device.name] if device else "", backbone)


MINE = training()
SEATS = {
    "mine": seat(MINE),
    "mine, noisy": seat(MINE, NOISY),
    "vqc2": seat(training("vqc2")),
    "vqc2, noisy": seat(training("vqc2"), NOISY),
    "vqc1 with another option": seat(training(layers=2)),
    "tanh": seat(training("tanh"), None),
    "seed 1": seat(training(seed=1)),
    "seed 1, noisy": seat(training(seed=1), NOISY),
    "vqc2, seed 1": seat(training("vqc2", seed=1)),
    "more images": seat(training(size=80)),
    "another place": seat(training("vqc2", path="there")),
    "another backbone": seat(training("vqc2", backbone="vgg16")),
    "other weights": seat(training("vqc2", weights="random")),
    "longer": seat(training(epochs=50)),
    "longer, seed 1": seat(training(epochs=50, seed=1)),
}


def judges(asked, searched="mine", level="pixels"):
    evaluate = EvaluateSpec(judges=asked)
    found = Crew(SEATS.values()).judges(Resolved(SEATS[searched], AttackSpec(name="pgd", level=level), evaluate))
    names = {id(one): name for name, one in SEATS.items()}
    return [names[id(one)] for one in found]


@pytest.mark.parametrize(
    ("searched", "asked", "expected"),
    [
        ("mine", {"devices": "all"}, ["mine, noisy"]),
        ("mine", {"devices": ["qiskit.aer"]}, ["mine, noisy"]),
        ("mine", {"devices": ["qiskit.aer[fake_manila]"]}, ["mine, noisy"]),
        ("mine", {"devices": ["default.qubit"]}, []),
        ("mine", {"heads": "all"}, ["vqc2", "vqc1 with another option", "tanh"]),
        ("mine", {"heads": ["vqc2", "tanh"]}, ["vqc2", "tanh"]),
        ("mine, noisy", {"heads": "all"}, ["vqc2, noisy", "tanh"]),
        ("tanh", {"heads": ["vqc1"]}, ["mine", "mine, noisy", "vqc1 with another option", "longer"]),
        ("mine", {"seeds": "all"}, ["seed 1"]),
        ("mine, noisy", {"seeds": [1]}, ["seed 1, noisy"]),
        ("mine", {"seeds": [0]}, []),
        ("mine", {"devices": "all", "seeds": "all"}, ["mine, noisy", "seed 1"]),
        ("mine", {}, []),
    ],
)
def test_a_judge_differs_in_device_head_or_seed_alone(searched, asked, expected):
    assert judges(asked, searched) == expected


@pytest.mark.parametrize(
    ("level", "asked", "kind"),
    [
        ("features", {"seeds": "all"}, "seeds"),
        ("angles", {"seeds": [1]}, "seeds"),
        ("angles", {"heads": "all", "seeds": "all"}, "heads"),
    ],
)
def test_judges_that_read_other_numbers_are_refused_where_they_are_asked_for(level, asked, kind):
    with pytest.raises(
        SpecError, match=rf"^evaluate\.judges\.{kind}: other models have other {level}: .*\(valid: attacks on pixels\)$"
    ):
        judges(asked, level=level)


def test_other_heads_read_the_same_features_and_other_devices_the_same_angles():
    assert judges({"heads": ["vqc2"]}, level="features") == ["vqc2"]
    assert judges({"devices": "all"}, level="angles") == ["mine, noisy"]


def test_judges_are_looked_up_once_for_each_seat_and_level():
    crew, evaluate = Crew(SEATS.values()), EvaluateSpec(judges={"heads": "all"})
    points = [Resolved(SEATS["mine"], AttackSpec(name=name, epsilon=0.1), evaluate) for name in ("pgd", "fgsm")]
    assert crew.judges(points[0]) is crew.judges(points[1])
    assert crew.judges(Resolved(SEATS["tanh"], points[0].attack, evaluate)) is not crew.judges(points[0])


def test_whether_a_seat_samples():
    assert not seat(MINE).shots
    assert not SEATS["tanh"].shots
    assert Seat(MINE, DeviceSpec(name="default.qubit", shots=10), "k", "l").shots


# parts


def search(of, device, mode="surrogate", id="s"):
    return Search(of, device, device, "exact", AttackSpec(name="pgd"), 10, 5, mode, "itself", id)


def judge(of, device, mode="surrogate", id="j"):
    return Judge(of, device, device, 1, mode, id)


def test_a_group_lists_its_epsilons_and_judges_once_in_order():
    of, a, b = search(MINE, IDEAL), judge(MINE, IDEAL, id="a"), judge(MINE, NOISY, id="b")
    group = Group(of, tuple(Cell(of, epsilon, one) for epsilon, one in itertools.product((0.3, 0.1, 0.2), (b, a))))
    assert group.epsilons == [0.3, 0.1, 0.2]
    assert group.judges == [b, a]


def test_a_plan_knows_what_its_searches_and_its_judges_need():
    other, same_elsewhere = training("vqc2"), training(path="there")
    first, second = search(MINE, IDEAL), search(same_elsewhere, IDEAL, id="t")
    judging = [judge(MINE, IDEAL, id="a"), judge(other, NOISY, id="b"), judge(other, None, id="c")]
    cells = [Cell(first, 0.1, one) for one in judging]
    native = [Cell(second, 0.1, judge(same_elsewhere, NOISY, mode="native"))]
    plan = Plan("p", (Group(first, tuple(cells)), Group(second, tuple(native))))
    assert plan.n_cells == 4
    assert MINE.id == same_elsewhere.id  # no path is part of a key
    assert plan.trainings == (MINE, other, same_elsewhere)
    assert plan.deployments == ((MINE, IDEAL), (other, NOISY), (same_elsewhere, IDEAL))
    assert plan.data == ((MINE.data, 0), (same_elsewhere.data, 0))


# keys


def test_equal_values_have_equal_keys_and_their_order_and_kind_count():
    assert content_key("a", 1) == content_key("a", 1)
    given = [("a", 1), (1, "a"), ("a", "1"), ("a", 1.5), ("a",), ("a", None), (["a", 1],), ({"a": 1},)]
    assert len({content_key(*parts) for parts in given}) == len(given)
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert all(len(content_key(part)) == 16 and int(content_key(part), 16) >= 0 for part in ("a", 1))
    with pytest.raises(ValueError, match="Out of range float"):
        content_key(float("nan"))


def test_sections_count_by_every_option_but_places():
    data = DataSpec(source="folder", size=40)
    assert content_key(data) == content_key(DataSpec(source="folder", size=40, path="/x"))
    for changes in ({"size": 41}, {"classes": (3, 8)}, {"classes": (8, 3)}, {"digest": "d"}, {"test_fraction": 0.2}):
        assert content_key(DataSpec(**{"source": "folder", "size": 40, **changes})) != content_key(data)
    attack = AttackSpec(name="pgd", epsilon=4 / 255, steps=10)
    assert content_key(attack) == content_key(AttackSpec(steps=10, name="pgd", epsilon="4/255"))
    assert content_key(attack) != content_key(
        AttackSpec(name="pgd", epsilon=4 / 255, steps=10, path="x")
    )  # an attack's own option


def test_a_label_has_the_options_that_tell_it_from_its_namesakes_in_order():
    one = AttackSpec(name="pgd", steps=10, step_size=0.1, loss="margin")
    others = [one, AttackSpec(name="pgd", steps=20, loss="margin"), AttackSpec(name="fgsm", loss="cross_entropy")]
    assert attack_label(one, others) == "pgd(step_size=0.1,steps=10)"
    assert attack_label(others[1], others) == "pgd(steps=20)"
    assert attack_label(one) == attack_label(others[2], others).replace("fgsm", "pgd") == "pgd"
