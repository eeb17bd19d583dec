"""What the rooms refuse in a sweep file, each in one line with its place; what they fill in and drop."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from hqc_ray.data.sources.idx import encode
from hqc_ray.errors import AttackError, InputError
from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec
from hqc_ray.sweep.graph import resolve, sources
from hqc_ray.sweep.graph.resolve import Rooms
from tests.sweep.cases import changed, planned, save_weights

DATA = DataSpec(source="tests.sweep.cases:Dots", size=40)
MODEL = ModelSpec(backbone="tests.sweep.cases:tiny", weights="random", image_size=8, head="vqc1", n_qubits=2)
K10 = "size: 40, n_classes: 10, images: 95"

REFUSED = {
    # data
    "size: 400": r"data\.size: 400 images .* 200 of each class, but .* 40 of class '0' \(valid: an even number from 10 to 80\)",
    "size: 100, n_classes: 10, images: 95": r"data\.size: .* 9 of class '5' \(valid: a multiple of 10 from 20 to 90\)",
    "size: 42, n_classes: 10, images: 95": r"data\.size: 42 images \(valid: a multiple of 10, 20 or more",
    f"{K10}, classes: [3, 8]": r"data\.size: 40 images asked for, 20 of each class, but the source has .* of class '[38]'",
    f"{K10}, classes: [3, 12]": r"data\.classes: unknown class 12; .*\(valid: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\)",
    f"{K10}, classes: [3]": r"data\.classes: \(3,\) \(valid: two or more of 0, 1,",
    "size: 40, colour: red": r"data: .*unknown option 'colour' \(valid: .*n_classes=2",
    "size: 40, side: wide": r"data\.side: .*not 'wide'",
    "size: 40, test_fraction: 0.99": r"data\.size: 40 images leave none to train on",
    # models
    "head: vqc99": r"model\.head: unknown head 'vqc99'; did you mean",
    "head: tanh, n_qbits: 3": r"model: unknown option 'n_qbits'; did you mean 'n_qubits'\?",
    "head: vqc1, embedding: rw": r"model: unknown embedding 'rw' \(valid: h\+ry, own, rx, ry\)",
    "head: vqc1, readout: w": r"model\.readout: .*'x', 'y' or 'z'.*not 'w'",
    "head: tanh, n_qubits: 13": r"model\.n_qubits: .*less than or equal to 12",
    "head: 'tests.sweep.cases:nothing'": r"model: cannot import head",
    "head: 'tests.sweep.cases:Dots'": r"model\.head: .* is not a subclass of hqc_ray\.models\.heads\.HeadEntry",
    "backbone: resnet19": r"model: unknown backbone 'resnet19'; did you mean 'resnet18'",
    "backbone: 'tests.sweep.cases:SWEEP'": r"model: .*is not a function",
    "weights: nowhere.pth": r"model\..*: no such weights file 'nowhere\.pth'",
    "weights: '${NOT_SET_ANYWHERE}'": r"weights: the environment variable NOT_SET_ANYWHERE is not set",
    # attacks, levels
    "name: fgms": r"attack: unknown attack 'fgms'; did you mean 'fgsm'",
    "name: pgd, steps: 0": r"attack\.steps: ",
    "name: fgsm, norm: l7": r"attack\.norm: ",
    "level: angles, head: linear": r"attack\.level: .* \+ linear has no level 'angles' \(valid: pixels, features\)",
    "level: features, backbone: 'tests.sweep.cases:Trained'": r"attack\.level: .*Trained .* 'features' \(valid: pixels\)",
    "name: ensemble, members: {fgms: {}}": r"attack\.members\.fgms: unknown attack",
    "name: fgsm, restarts: 3": r"attack: .*restarts above 1",
    # devices, evaluation
    "device: default.qubti": r"device: unknown device 'default.qubti'",
    "device: qiskit.aer, noise: fake_manilla": r"device\.noise: unknown fake backend 'fake_manilla'.*fake_manila",
    "device: qiskit.aer, shots: 0": r"device\.shots: ",
    "access: shots": r"evaluate: access: shots on a device without shots",
    "mode: native, access: ideal": r"evaluate: mode: native needs an exact device",
    "judges: {heads: [mlp]}": r"evaluate\.judges\.heads: 'mlp' is not in this sweep \(valid: vqc1\)",
    "judges: {devices: [ibm]}": r"evaluate\.judges\.devices: 'ibm' is not in this sweep",
    "judges: {seeds: [4]}": r"evaluate\.judges\.seeds: 4 is not in this sweep \(valid: 0\)",
}


def with_faults(fault):
    """The sweep of a circuit with a fault in it: each piece of it goes where its key belongs."""
    level, _, rest = fault.partition(", ")
    if level.startswith("level: "):
        old = "head: tanh" if rest.startswith("head") else "backbone: 'tests.sweep.cases:tiny'"
        return changed((old, rest), ("{name: fgsm,", f"{{name: fgsm, {level},"))
    key = fault.partition(":")[0]
    places = {
        "size": "size: 40", "head": "head: tanh, n_qubits: 2", "backbone": "backbone: 'tests.sweep.cases:tiny'",
        "name": "name: fgsm", "weights": "weights: random",
    }  # fmt: skip
    if key in places:
        return changed((places[key], fault))
    if key == "device":
        return changed(("head: tanh", "head: vqc1"), more=f"  device: {{name: {fault.removeprefix('device: ')}}}")
    return changed(("head: tanh", "head: vqc1"), ("images: 6", f"images: 6, {fault}"))


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_at_its_place(fault):
    with pytest.raises(InputError, match=REFUSED[fault]) as caught:
        planned(with_faults(fault))
    assert "\n" not in str(caught.value)


def test_as_many_as_there_are_is_enough():
    assert Rooms().data(DataSpec(source=DATA.source, size=80)).size == 80
    ten = Rooms().data(DataSpec(source=DATA.source, size=90, n_classes=10, images=95))
    assert ten.options == {"n_classes": 10, "images": 95, "side": 8, "seed": 0, "path": ""}  # defaults written out


def test_the_folder_of_data_may_be_a_variable_and_stays_one(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 9), dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(encode(np.arange(30, dtype=np.uint8) % 3))
    spec = DataSpec(source="idx", size=12, path="${HQC_SOME_FOLDER}")
    with pytest.raises(InputError, match=r"^data\.data\.path: the environment variable|^data\.path: the environment variable"):
        Rooms().data(spec)
    monkeypatch.setenv("HQC_SOME_FOLDER", str(tmp_path))
    found = Rooms().data(spec)
    assert found.options == {"path": "${HQC_SOME_FOLDER}", "prefix": "train"}
    assert Rooms().model(MODEL.model_copy(update={"image_size": None}), found).image_size == (6, 9)


def test_options_of_a_model_are_filled_in_and_those_of_others_dropped():
    given = ModelSpec(**{**MODEL.model_dump(), "head": "tanh", "embedding": "ry", "hidden": 9, "readout": "x"})
    assert Rooms().model(given, DATA).options == {"n_qubits": 2}
    circuit = ModelSpec(**{**MODEL.model_dump(), "hidden": 9})
    assert Rooms().model(circuit, DATA).options == {"n_qubits": 2, "embedding": "rx", "layers": 1, "reuploads": 1, "readout": "z"}
    own = MODEL.model_copy(update={"backbone": "tests.sweep.cases:Patches", "head": "linear"})
    assert Rooms().model(own, DATA).options == {"fine": False}
    ends = MODEL.model_copy(update={"backbone": "tests.sweep.cases:Trained", "weights": "imagenet"})
    assert Rooms().model(ends, DATA).weights == "random"  # it has no other


def test_weights_of_another_network_are_refused_once_they_are_looked_at(tmp_path):
    path = save_weights(tmp_path / "mine.pth")
    fitting = ModelSpec(backbone="tests.sweep.cases:Patches", weights=str(path), image_size=8)
    assert Rooms().model(fitting, DATA).weights == str(path)
    with pytest.raises(InputError, match=r"^model.*mine\.pth"):
        Rooms().model(fitting.model_copy(update={"backbone": "squeezenet1_1", "image_size": 32}), DATA)


def test_each_backbone_is_loaded_once(monkeypatch):
    built, build = [], resolve.backbones.build
    monkeypatch.setattr(resolve.backbones, "build", lambda *args: built.append(args) or build(*args))
    rooms = Rooms()
    for head in ("tanh", "linear", "vqc1"):
        rooms.model(MODEL.model_copy(update={"head": head}), DATA)
    assert len(built) == 2  # a user's own, to see that it is the same network each time
    rooms.model(MODEL.model_copy(update={"image_size": 16}), DATA)
    assert len(built) == 4


@pytest.mark.parametrize("name", ["fgsm", "pgd", "noise", "deepfool", "bottleneck"])
def test_an_attack_without_a_strength_is_refused(name):
    with pytest.raises(AttackError, match=rf"attack\.epsilon: '{name}' has no epsilon \(valid: a strength, such as 8/255\)"):
        Rooms().attack(AttackSpec(name=name), MODEL, DATA)
    assert Rooms().attack(AttackSpec(name=name, epsilon=0), MODEL, DATA).epsilon == 0


def test_an_attack_that_changes_nothing_has_no_strength():
    assert Rooms().attack(AttackSpec(name="clean", epsilon=0.3), MODEL, DATA).epsilon == 0
    filled = Rooms().attack(AttackSpec(name="pgd", epsilon=0.3, level="angles"), MODEL, DATA)
    assert (filled.epsilon, filled.level) == (0.3, "angles")
    assert {"steps", "norm"} <= filled.options.keys()


def test_epsilon_ends_where_the_values_do():
    for epsilon, says in ((8, "did you mean 8/255"), (1.5, "did you mean 1.5/255"), (300, r"which lie in \[0, 1\] \(valid")):
        with pytest.raises(InputError, match=rf"^attack\.epsilon: .*{says}"):
            Rooms().attack(AttackSpec(name="fgsm", epsilon=epsilon), MODEL, DATA)
    larger = (
        {"norm": "l2", "epsilon": 8},
        {"level": "features", "epsilon": 8},
        {"level": "angles", "epsilon": 1.5},
        {"epsilon": 1},
    )
    for good in larger:  # an l2 ball, standardised features, radians, and the whole of the range
        assert Rooms().attack(AttackSpec(name="fgsm", **good), MODEL, DATA).epsilon == good["epsilon"]
    assert Rooms().attack(AttackSpec(name="clean", epsilon=8), MODEL, DATA).epsilon == 0


def test_images_that_are_too_large_for_a_network_are_to_be_resized(monkeypatch):
    monkeypatch.setattr(sources, "source", lambda _: SimpleNamespace(image_size=(5, 2049)))
    with pytest.raises(InputError, match=r"^model\.image_size: the images have 2,049 pixels .*up to 2,048"):
        Rooms().model(MODEL.model_copy(update={"image_size": None}), DATA)
    assert Rooms().model(MODEL, DATA).image_size == 8


@pytest.mark.parametrize("access", ["exact", "ideal", "shots"])
def test_what_means_nothing_without_a_circuit_or_shots_is_at_its_default(access):
    given = EvaluateSpec(access=access, repeats=5, images=7)
    plain = Rooms().evaluate(given, None, AttackSpec(name="fgsm"))
    assert (plain.access, plain.mode, plain.repeats, plain.images) == ("exact", given.mode, 5, 7)  # others may sample
    sampled = Rooms().evaluate(given, DeviceSpec(name="default.qubit", shots=10), AttackSpec(name="fgsm"))
    assert (sampled.access, sampled.repeats) == (access, 5)


def test_the_exact_twin_has_no_shots_and_a_machine_has_none():
    rooms = Rooms()
    sampled = rooms.device(DeviceSpec(name="qiskit.aer", noise="fake_manila", shots=50, seed=3), MODEL)
    exact = rooms.device(DeviceSpec(name="qiskit.aer", noise="fake_manila"), MODEL)
    assert rooms.exact(sampled) == rooms.exact(exact)
    assert (rooms.exact(sampled).options["shots"], rooms.exact(sampled).options["seed"]) == (None, 0)
    machine = DeviceSpec(name="ibm", backend="ibm_lima", shots=100)
    assert rooms.exact(machine) == machine
    assert rooms.label(sampled) == "qiskit.aer[fake_manila,shots=50,seed=3]"


def test_a_classical_head_is_no_circuit():
    assert resolve.has_circuit(MODEL)
    assert not resolve.has_circuit(MODEL.model_copy(update={"head": "tanh"}))
    with pytest.raises(InputError, match=r"^head: 'tanh' is not a circuit \(valid: a head with a circuit\)"):
        resolve.circuit(MODEL.model_copy(update={"head": "tanh"}))
