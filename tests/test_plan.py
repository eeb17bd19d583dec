import linecache
import re
import sys
from importlib import metadata

import pytest
import yaml

from hqc_ray import plan, spec, usercode
from hqc_ray.errors import AttackError, DeviceError, InputError, ModelError, SpecError
from hqc_ray.plan import keys as keys_of_plan
from hqc_ray.spec import AttackSpec, DeviceSpec, ModelSpec, TrainSpec
from hqc_ray.usercode import with_code


class Echo:
    """Rooms that accept everything; heads that begin with vqc are circuits."""

    def models(self, models):
        pass

    def alone(self, section):
        pass

    def data(self, data):
        return data

    def model(self, model, data):
        return model

    def backbone(self, model):
        return ModelSpec(backbone=model.backbone, weights=model.weights, image_size=model.image_size, **self.options(model))

    def options(self, model):
        return {k: v for k, v in model.options.items() if k == "side"}

    def has_circuit(self, model):
        return model.head.startswith("vqc")

    def controls(self, model, data):
        names = ("tanh", "mlp") if self.has_circuit(model) else ()
        return tuple(model.model_copy(update={"head": name}) for name in names)

    def control(self, model):
        return model.model_copy(update={"head": "tanh"})

    def borrows(self, attack):
        return tuple(attack.options.get("borrows", "").split())

    def reaches(self, model, level):
        return level == "pixels" or model.head != "mlp"

    def train(self, train, model):
        return train

    def attack(self, attack, model, data):
        return attack

    def nested(self, attack):
        return attack.name == "autoattack"

    def device(self, device, model):
        return device

    def surrogate(self, model, device):
        pass

    def exact(self, device):
        return DeviceSpec(name=device.name, **{k: v for k, v in device.options.items() if k != "shots"})

    def label(self, device):
        return f"{device.name}{sorted(device.options.items())}"

    def evaluate(self, evaluate, device, attack):
        return evaluate if device else evaluate.model_copy(update={"access": "exact"})


def build(text):
    return plan.build(spec.parse(yaml.safe_load(text), "x"), Echo())


def searches(found):
    """Head, attack, access and audience of each search, and how many judges it has."""
    return [(g.search.training.model.head, g.search.access, g.search.audience, len(g.judges)) for g in found.groups]


BASE = """
defaults:
  data: {source: pcam, path: PATH, size: 40}
  device: [{name: default.qubit}, {name: qiskit.aer, noise: fake_manila}]
  attack: [{name: fgsm, epsilon: [0.05, 0.1]}, {name: clean}]
blocks:
  - model: {backbone: resnet18, head: HEADS}
"""


def test_models_are_trained_once_and_classical_ones_have_no_device():
    found = build(BASE.replace("HEADS", "[vqc1, tanh]"))
    assert len(found.trainings) == 2
    assert found.n_cells == 2 * 3 + 3
    assert len(found.deployments) == 2
    assert {len(g.cells) for g in found.groups if g.search.attack.name == "fgsm"} == {2}
    assert [g.search.device for g in found.groups if g.search.training.model.head == "tanh"] == [None, None]
    assert all(cell.judge.training is group.search.training for group in found.groups for cell in group.cells)


def test_cells_that_two_blocks_share_are_one():
    once = BASE.replace("HEADS", "[vqc1, tanh]")
    assert build(once + "  - model: {backbone: resnet18, head: tanh}\n").n_cells == build(once).n_cells


def keys(found):
    return [(group.search.id, [cell.judge.id for cell in group.cells]) for group in found.groups]


def test_the_path_of_the_data_is_no_part_of_a_key_and_everything_else_is():
    here, there = build(BASE.replace("HEADS", "vqc1")), build(BASE.replace("HEADS", "vqc1").replace("PATH", "elsewhere"))
    assert keys(here) == keys(there)
    others = [("size: 40", "size: 42"), ("pcam", "folder"), ("vqc1", "vqc2"), ("fake_manila", "fake_lima")]
    others.append(("size: 40", "size: 40, classes: [3, 8]"))
    for old, new in others:
        assert keys(here) != keys(build(BASE.replace("HEADS", "vqc1").replace(old, new))), new


def test_the_place_of_a_weights_file_is_no_part_of_a_key_and_an_attacks_own_option_of_that_name_is():
    here, there = (ModelSpec(backbone="resnet18", weights=f"{place}/mine.pth") for place in ("/a", "/b/c"))
    other = ModelSpec(backbone="resnet18", weights="/a/other.pth")
    assert plan.content_key(here) == plan.content_key(there) != plan.content_key(other)
    options = [{"weights": [1, 2]}, {"weights": "a/x"}, {"weights": "b/x"}, {"weights": None}]
    assert len({plan.content_key(AttackSpec(name="mine:Attack", **given)) for given in options}) == 4


def test_the_members_of_an_ensemble_have_an_order_and_their_code_counts(tmp_path, monkeypatch):
    one, other = ({"pgd": {"steps": 2}, "fgsm": {}}, {"fgsm": {}, "pgd": {"steps": 2}})
    keys = [plan.content_key(AttackSpec(name="ensemble", members=members)) for members in (one, other)]
    assert keys[0] != keys[1]
    monkeypatch.syspath_prepend(tmp_path)
    given, keys = AttackSpec(name="ensemble", members={"member_code:A": {}}), []
    for text in ("A = 1", "A = 2  # edited"):
        (tmp_path / "member_code.py").write_text(text)
        linecache.clearcache()
        with_code.cache_clear()
        keys.append(plan.content_key(given))
    assert keys[0] != keys[1]
    assert list(usercode._names({"attack": given.model_dump()})) == ["ensemble", "member_code:A"]


def test_an_installed_package_counts_by_its_version():
    assert with_code("yaml.loader:SafeLoader") == f"yaml.loader:SafeLoader@{metadata.version('PyYAML')}"
    assert len(with_code("tests.example_rows:row").partition("@")[2]) == 16  # `tests`, which some package installs, too
    assert with_code("pgd") == "pgd"
    assert with_code("nowhere.at_all:X") == "nowhere.at_all:X"


def test_keys_are_the_same_in_every_process():
    assert plan.content_key("a", 1, AttackSpec(name="pgd", epsilon=0.05, steps=10)) == "aac4d31d68df7d77"


SHOTS = """
defaults:
  data: {source: pcam, size: 40}
  device:
    - {name: default.qubit}
    - {name: lightning.qubit}
    - {name: qiskit.aer, noise: fake_manila}
    - {name: qiskit.aer, noise: fake_manila, shots: 100}
    - {name: qiskit.aer, noise: fake_lima}
  attack: {name: pgd, epsilon: [0.05, 0.1]}
  evaluate: EVALUATE
blocks:
  - model: {backbone: resnet18, head: HEADS}
"""


def shots(evaluate, heads="vqc1"):
    return build(SHOTS.replace("EVALUATE", evaluate).replace("HEADS", heads))


def test_one_search_of_the_ideal_twin_serves_five_devices():
    found = shots("{access: ideal}")
    assert searches(found) == [("vqc1", "ideal", "others", 5)]
    assert found.n_cells == 10
    assert found.groups[0].search.device is None
    assert len(found.deployments) == 4  # shots change no surrogate


def test_each_device_that_is_differentiated_is_a_search_and_one_with_shots_has_another_audience():
    found = shots("{access: exact}")
    assert searches(found) == [("vqc1", "exact", audience, 1) for audience in ("itself",) * 3 + ("samples", "itself")]
    manila = [g.search for g in found.groups if g.search.device.options.get("noise") == "fake_manila"]
    assert manila[0].device == manila[1].device == manila[0].twin  # the exact twin is what both attackers see
    assert manila[0].id != manila[1].id
    through = [g.search for g in shots("{access: shots}").groups if g.search.device.options.get("shots")]
    assert [s.access for s in through] == ["shots"]
    assert through[0].twin == manila[0].twin


TRANSFER = "{judges: {heads: all}}"


def test_a_transfer_matrix_over_heads_costs_as_many_searches_as_heads():
    found = build(BASE.replace("HEADS", "[linear, tanh, mlp]") + f"    evaluate: {TRANSFER}\n")
    fgsm = [g for g in found.groups if g.search.attack.name == "fgsm"]
    assert [(g.search.training.model.head, len(g.judges), len(g.cells)) for g in fgsm] == [
        (head, 3, 6) for head in ("linear", "tanh", "mlp")
    ]
    assert {g.search.audience for g in found.groups} == {"others"}
    assert {cell.judge.training.model.head for cell in fgsm[0].cells} == {"linear", "tanh", "mlp"}
    assert len({(g.search.id, c.epsilon, c.judge.id) for g in fgsm for c in g.cells}) == 18


def test_judges_share_the_device_and_a_classical_head_is_judged_by_circuits_everywhere():
    found = build(BASE.replace("HEADS", "[vqc1, vqc2, tanh]") + f"    evaluate: {TRANSFER}\n")
    for group in (g for g in found.groups if g.search.attack.name == "fgsm"):
        head = group.search.training.model.head
        judges = [(j.training.model.head, j.device and j.device.name) for j in group.judges]
        if head == "tanh":
            assert sorted(judges[1:]) == [(v, d) for v in ("vqc1", "vqc2") for d in ("default.qubit", "qiskit.aer")]
        else:
            device = group.search.device.name
            assert judges == [(head, device), ("vqc2" if head == "vqc1" else "vqc1", device), ("tanh", None)]


def test_a_grid_is_counted_with_its_judges_before_they_are_added(monkeypatch):
    text = BASE.replace("HEADS", "[vqc1, vqc2, tanh]") + f"    evaluate: {TRANSFER}\n"
    module = sys.modules["hqc_ray.plan.build"]
    monkeypatch.setattr(module, "MAX_CELLS", 18)  # 3 heads x 2 devices x 3 attacks, without their judges
    with pytest.raises(SpecError, match=r"^blocks\[0\]\.evaluate\.judges: the grid has \d+ cells with its") as caught:
        build(text)
    counted = int(caught.value.what.split()[3])
    assert counted > 18
    monkeypatch.setattr(module, "MAX_CELLS", counted)
    assert build(text).n_cells <= counted


class Strict(Echo):
    """Refuses one attack, one device, and one backbone without saying where."""

    def attack(self, attack, model, data):
        if attack.options.get("steps") == 0:
            raise AttackError("steps 0", where="attack.steps", valid="1 to 9")
        return attack

    def device(self, device, model):
        if device.name == "none":
            raise DeviceError("no such device", where="device")
        return device

    def model(self, model, data):
        if model.backbone == "none":
            raise ModelError("no such backbone", where="a file")
        return model


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (
            "attack: [{name: fgsm}, {name: pgd, steps: [1, 2]}, {name: pgd, steps: [1, 0]}]",
            "^blocks[1].attack[2].steps: steps 0 (valid",
        ),
        ("attack: {name: pgd, steps: [1, 0]}", "^blocks[1].attack.steps: steps 0"),
        ("device: [{name: a}, {name: none}]", "^blocks[1].device[1]: no such device"),
        ("model: {backbone: none}", "^blocks[1]: a file: no such backbone"),
        ("evaluate: [{images: 5}, {judges: {heads: [mlp]}}]", "^blocks[1].evaluate[1].judges.heads: 'mlp' is not in this sweep"),
    ],
)
def test_what_a_room_refuses_is_said_with_its_block_and_entry(block, says):
    text = BASE.replace("HEADS", "vqc1") + f"  - {{model: {{backbone: resnet18, head: vqc1}}, {block}}}\n"
    if block.startswith("model"):
        text = BASE.replace("HEADS", "vqc1") + f"  - {{{block}}}\n"
    with pytest.raises(InputError, match=says[0] + re.escape(says[1:])) as caught:
        plan.build(spec.parse(yaml.safe_load(text), "x"), Strict())
    assert type(caught.value) is not InputError  # it stays the room's own
    named = spec.parse(yaml.safe_load(text), "x").model_copy(update={"file": "x.yaml"})
    with pytest.raises(InputError, match=r"^x\.yaml: blocks\[1\]"):
        plan.build(named, Strict())


def test_judges_may_be_devices_and_seeds_and_are_named():
    text = BASE.replace("HEADS", "vqc1") + "    seed: [0, 1, 2]\n    evaluate: {judges: JUDGES}\n"
    by_device = build(text.replace("JUDGES", "{devices: [default.qubit]}"))
    assert {len(g.judges) for g in by_device.groups} == {1, 2}
    by_seed = build(text.replace("JUDGES", "{seeds: [2]}"))
    for group in by_seed.groups:
        seeds = [judge.training.seed for judge in group.judges]
        assert seeds == ([2] if group.search.training.seed == 2 else [group.search.training.seed, 2])
    everybody = build(text.replace("JUDGES", "{devices: all, seeds: all}"))
    assert {len(g.judges) for g in everybody.groups} == {4}  # itself, the other device, two other seeds


BAD = {
    "{heads: [vqc7]}": "evaluate.judges.heads: 'vqc7' is not in this sweep .valid: tanh, vqc1",
    "{devices: [qiskit]}": "evaluate.judges.devices: 'qiskit' is not in this sweep .valid: default.qubit",
    "{seeds: [5]}": "evaluate.judges.seeds: 5 is not in this sweep .valid: 0",
    "{head: all}": "unknown option",
    "{heads: some}": "evaluate.judges.heads",
}


@pytest.mark.parametrize("judges", BAD)
def test_judges_that_are_not_there_are_refused(judges):
    with pytest.raises(SpecError, match=BAD[judges]) as caught:
        build(BASE.replace("HEADS", "[vqc1, tanh]") + f"    evaluate: {{judges: {judges}}}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("level", "judges"), [("angles", "heads"), ("angles", "seeds"), ("features", "seeds")])
def test_a_judge_that_reads_other_numbers_is_refused(level, judges):
    text = BASE.replace("HEADS", "[vqc1, vqc2]").replace("{name: fgsm, ", f"{{name: fgsm, level: {level}, ")
    with pytest.raises(SpecError, match=f"other models have other {level}"):
        build(text + f"    seed: [0, 1]\n    evaluate: {{judges: {{{judges}: all}}}}\n")


def test_levels_are_other_searches():
    text = BASE.replace("HEADS", "vqc1").replace("{name: fgsm, ", "{name: fgsm, level: [pixels, features, angles], ")
    assert len({g.search.id for g in build(text).groups if g.search.attack.name == "fgsm"}) == 2 * 3


def test_a_label_shows_the_options_that_tell_attacks_apart():
    ten, twenty = AttackSpec(name="pgd", steps=10), AttackSpec(name="pgd", steps=20)
    assert plan.attack_label(ten, [ten, AttackSpec(name="fgsm")]) == "pgd"
    assert plan.attack_label(ten, [ten, twenty]) == "pgd(steps=10)"


def test_how_often_and_how_a_judge_runs_follows_from_where_it_runs():
    devices = "[{name: default.qubit}, {name: qiskit.aer, shots: 30}]"
    text = BASE.replace("HEADS", "[vqc1, tanh]")
    text = text.replace("[{name: default.qubit}, {name: qiskit.aer, noise: fake_manila}]", devices)
    found = build(text + "    evaluate: {repeats: 3, judges: {devices: all, heads: all}}\n")

    def judges(plan):
        return {j.id: j for group in plan.groups for j in group.judges}.values()

    def sampled(judge):
        return bool(judge.device and judge.device.options.get("shots"))

    assert sorted((j.training.model.head, sampled(j), j.repeats) for j in judges(found)) == [
        ("tanh", False, 1), ("vqc1", False, 1), ("vqc1", True, 3),
    ]  # fmt: skip
    native = build(text + "    evaluate: {mode: native, judges: {devices: all, heads: all}}\n")
    modes = {(j.training.model.head, sampled(j), j.mode) for j in judges(native)}
    assert {("tanh", False, "surrogate"), ("vqc1", False, "native"), ("vqc1", True, "surrogate")} == modes
    tanh = next(g.search for g in native.groups if g.search.training.model.head == "tanh")
    assert tanh.mode == "surrogate"  # nothing of it runs on a device; the circuits that judge it do


def test_backbones_of_other_options_are_no_other_heads():
    text = BASE.replace("HEADS", "[linear, tanh], side: [2, 3]") + f"    evaluate: {TRANSFER}\n"
    for group in build(text).groups:
        assert {judge.training.model.options["side"] for judge in group.judges} == {group.search.training.model.options["side"]}
        assert len(group.judges) == 2


def test_only_what_names_code_counts_by_its_code_and_a_device_inside_a_section_does():
    lists = AttackSpec(name="mine:Attack", source=["a", "b"], head="yaml.loader:SafeLoader")
    assert plan.content_key(lists) != plan.content_key(lists.model_copy(update={"head": with_code("yaml.loader:SafeLoader")}))
    trained = TrainSpec(device=DeviceSpec(name="yaml.loader:SafeLoader"))
    assert keys_of_plan._plain(trained)["device"]["name"] == with_code("yaml.loader:SafeLoader")


def test_the_order_of_members_is_in_the_label():
    one, other = (AttackSpec(name="ensemble", members=m) for m in ({"a": {}, "b": {}}, {"b": {}, "a": {}}))
    assert plan.attack_label(one, [one, other]) == "ensemble(members=a+b)"
    assert plan.attack_label(one, [one, one]) == "ensemble"


def test_a_label_has_of_members_what_differs():
    members = [
        {"ideal": {"steps": 3}, "pgd": {"steps": 5, "norm": "l2"}},
        {"pgd": {"steps": 9, "norm": "l2"}},
        {"pgd": {"steps": 5}},
    ]
    attacks = [AttackSpec(name="autoattack", members=m) for m in members]
    assert [plan.attack_label(attack, attacks) for attack in attacks] == [
        "autoattack(members=ideal+pgd,pgd.norm=l2,pgd.steps=5)",
        "autoattack(members=pgd,pgd.norm=l2,pgd.steps=9)",
        "autoattack(members=pgd,pgd.steps=5)",
    ]
    deep = [AttackSpec(name="ensemble", members={"autoattack": {"members": m}, "x": {}}) for m in members[1:]]
    assert plan.attack_label(deep[0], deep[:1]) == "ensemble"
    assert plan.attack_label(deep[0], deep) == "ensemble(autoattack.pgd.norm=l2,autoattack.pgd.steps=9)"
    assert plan.attack_label(deep[1], deep) == "ensemble(autoattack.pgd.steps=5)"
    odd = [AttackSpec(name="mine:Attack", members=m) for m in (3, {"a": {}}, {"a": 3})]
    assert [plan.attack_label(attack, odd) for attack in odd] == [f"mine:Attack(members={m})" for m in (3, {"a": {}}, {"a": 3})]


NESTED = """
name: x
defaults: {data: {source: d, size: 100}, model: {backbone: b, head: h}, attack: {name: NAME, epsilon: [EPSILONS]}}
blocks: [{}]
"""


def keys_at(name, epsilons):
    built = build(NESTED.replace("NAME", name).replace("EPSILONS", epsilons))
    (group,) = built.groups
    assert all(cell.search is group.search for cell in group.cells)
    return group.search


def test_the_list_of_epsilons_is_part_of_the_key_where_they_are_nested():
    one, more, other = (keys_at("autoattack", e) for e in ("0.1, 0.2", "0.2, 0, 0.1", "0.1, 0.2, 0.3"))
    assert one.id == more.id != other.id
    assert (one.epsilons, more.epsilons, other.epsilons) == ((0.1, 0.2), (0.1, 0.2), (0.1, 0.2, 0.3))
    plain, longer = keys_at("pgd", "0.1, 0.2"), keys_at("pgd", "0.1, 0.2, 0.3")
    assert plain.id == longer.id
    assert plain.epsilons == longer.epsilons == ()


def test_controls_stand_beside_each_circuit_and_nothing_else_moves():
    text = BASE.replace("HEADS", "[vqc1, linear]")
    plain, paired = build(text), build(text.replace("defaults:", "defaults:\n  controls: true"))
    assert [name for name, *_ in searches(plain)] == ["vqc1"] * 4 + ["linear"] * 2
    assert sorted({(name, n) for name, _, _, n in searches(paired)}) == [("linear", 1), ("mlp", 1), ("tanh", 1), ("vqc1", 1)]
    keys = {g.search.id: [(c.judge.id, c.epsilon) for c in g.cells] for g in paired.groups}
    assert all(keys[g.search.id] == [(c.judge.id, c.epsilon) for c in g.cells] for g in plain.groups)
    assert paired.n_cells == plain.n_cells + 2 * 3  # a control has no device: three cells each


def test_controls_of_several_circuits_are_one_and_those_of_the_file_count_once():
    text = BASE.replace("defaults:", "defaults:\n  controls: true")
    one, several = build(text.replace("HEADS", "vqc1")), build(text.replace("HEADS", "[vqc1, tanh, vqc6, mlp]"))
    controls = [{t.id for t in p.trainings if not t.model.head.startswith("vqc")} for p in (one, several)]
    assert controls[0] == controls[1]
    assert len(controls[0]) == 2


def test_a_control_is_attacked_only_at_levels_that_it_has():
    text = (
        BASE.replace("HEADS", "vqc1")
        .replace("defaults:", "defaults:\n  controls: true")
        .replace("name: fgsm,", "name: fgsm, level: angles,")
    )
    assert {(name, attack) for name, attack, *_ in map(_of, build(text).groups)} == {
        ("vqc1", "fgsm"), ("vqc1", "clean"), ("tanh", "fgsm"), ("tanh", "clean"), ("mlp", "clean"),
    }  # fmt: skip


def _of(group):
    return group.search.training.model.head, group.search.attack.name


@pytest.mark.parametrize("value", ["yes please", 1, "[true, false]", "null", "{tanh: true}"])
def test_controls_are_true_or_false(value):
    with pytest.raises(SpecError, match=r"blocks\[0\].controls: not true or false"):
        build(BASE.replace("HEADS", "vqc1").replace("defaults:", f"defaults:\n  controls: {value}"))
