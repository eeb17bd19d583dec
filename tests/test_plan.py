import yaml

from hqc_ray import plan, spec
from hqc_ray.spec import AttackSpec, EvaluateSpec, ModelSpec


class Echo:
    """Rooms that accept everything; heads that begin with vqc are circuits."""

    def data(self, data):
        return data

    def model(self, model):
        return model.model_copy(update={"n_qubits": 4 if model.head.startswith("vqc") else None})

    def has_circuit(self, model):
        return model.head.startswith("vqc")

    def attack(self, attack):
        return attack

    def device(self, device, model):
        return device


def build(text):
    return plan.build(spec.parse(yaml.safe_load(text), "x"), Echo())


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
    assert len(found.models) == 2
    assert len(found.cells) == 2 * 3 + 3
    assert len(found.fits) == 2
    assert {len(g.cells) for g in found.groups if g.cells[0].attack.name == "fgsm"} == {2}
    assert [g.device for g in found.groups if g.model.model.head == "tanh"] == [None, None]


def test_cells_that_two_blocks_share_are_one():
    once = BASE.replace("HEADS", "[vqc1, tanh]")
    assert len(build(once + "  - model: {backbone: resnet18, head: tanh}\n").cells) == len(build(once).cells)


def test_the_path_of_the_data_is_no_part_of_a_key_and_everything_else_is():
    here, there = build(BASE.replace("HEADS", "vqc1")), build(BASE.replace("HEADS", "vqc1").replace("PATH", "elsewhere"))
    assert [g.id for g in here.groups] == [g.id for g in there.groups]
    for old, new in [("size: 40", "size: 42"), ("pcam", "folder"), ("vqc1", "vqc2"), ("fake_manila", "fake_lima")]:
        other = build(BASE.replace("HEADS", "vqc1").replace(old, new))
        assert [g.id for g in here.groups] != [g.id for g in other.groups], new


def test_the_place_of_a_weights_file_is_no_part_of_a_key():
    here, there = (ModelSpec(backbone="resnet18", weights=f"{place}/mine.pth") for place in ("/a", "/b/c"))
    assert (
        plan.content_key(here)
        == plan.content_key(there)
        != plan.content_key(ModelSpec(backbone="resnet18", weights="/a/other.pth"))
    )


def test_keys_are_the_same_in_every_process():
    assert plan.content_key("a", 1, AttackSpec(name="pgd", epsilon=0.05, steps=10)) == "9735b865ef74775d"


def test_a_field_that_came_later_leaves_old_keys_alone_while_it_is_at_its_default():
    assert plan.content_key(EvaluateSpec(images=40)) == "3c0ba350d228bcdd"
    assert plan.content_key(EvaluateSpec(images=40, access="ideal")) != "3c0ba350d228bcdd"


def test_a_label_shows_the_options_that_tell_attacks_apart():
    ten, twenty = AttackSpec(name="pgd", steps=10), AttackSpec(name="pgd", steps=20)
    assert plan.attack_label(ten, [ten, AttackSpec(name="fgsm")]) == "pgd"
    assert plan.attack_label(ten, [ten, twenty]) == "pgd(steps=10)"
