import itertools
import pickle
import warnings
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from hqc_ray import spec
from hqc_ray.entries import Entry, Options, make
from hqc_ray.errors import DataError, DeviceError, InputError, SpecError

MINIMAL = """
defaults:
  data: {source: synthetic, size: 40}
  attack: [{name: fgsm, epsilon: [0.05, 4/255]}, {name: pgd, epsilon: 0.1, steps: [10, 20]}]
  seed: [0, 1]
blocks:
  - model: {backbone: resnet18, head: [vqc1, tanh]}
    data: {size: [40, 80]}
"""


def parse(text):
    return spec.parse(yaml.safe_load(text), "sweep")


def cells(text=MINIMAL):
    return list(parse(text).points())


def test_the_grid_is_the_product_of_the_axes_of_a_block():
    found = cells()
    assert len(found) == 2 * 2 * 4 * 2  # sizes, heads, attacks with their axes, seeds
    crossed = set(itertools.product((40, 80), ("vqc1", "tanh"), (0, 1)))
    assert {(c.data.size, c.model.head, c.seed) for c in found} == crossed
    assert {(c.attack.name, c.attack.epsilon, c.attack.options.get("steps")) for c in found} == {
        ("fgsm", 0.05, None), ("fgsm", 4 / 255, None), ("pgd", 0.1, 10), ("pgd", 0.1, 20),
    }  # fmt: skip


def test_a_block_overrides_keys_of_a_section_and_replaces_lists():
    found = cells(MINIMAL + "    attack: [{name: clean}]\n")
    assert {c.attack.name for c in found} == {"clean"}
    assert {c.data.source for c in found} == {"synthetic"}


def test_every_section_survives_a_dump_and_a_load():
    for cell in cells():
        assert spec.Point(**cell.model_dump()) == cell


BAD = {
    "blocks:\n  - {train: {epoch: 3}, data: {source: synthetic, size: 40}, attack: {name: clean}, model: {backbone: cnn1}}": (
        "blocks[0].train", "unknown option 'epoch'", "epochs=30",
    ),
    "defaults: {modle: {}}": ("defaults", "unknown section 'modle'", "model"),
    "blokcs: []": ("sweep", "unknown key 'blokcs'; did you mean 'blocks'", "defaults"),
    "blocks:\n  - data: {source: synthetic, size: four}": ("blocks[0].data.size", "not 'four'", ""),
    "blocks:\n  - data: {source: synthetic, size: []}": ("blocks[0].data", "axis 'size' is empty", ""),
    "blocks:\n  - data: {source: synthetic}": ("blocks[0].data", "'size' is required", ""),
    "defaults: {data: {source: synthetic, size: 40}, model: {backbone: cnn1}, attack: {name: fgsm, epsilon: -1}}": (
        "blocks[0].attack.epsilon", "greater than or equal to 0", "",
    ),
    "defaults: {data: {source: synthetic, size: 40}, model: {backbone: cnn1}, attack: {name: fgsm}, seed: [0, x]}": (
        "blocks[0].seed", "not a seed: 'x'", "an integer",
    ),
    "name: ../up": ("sweep: name", "not a name", "letters"),
    "[1, 2]": ("sweep", "expected a mapping", "blocks"),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_bad_input_says_what_where_and_what_is_valid_in_one_line(text):
    where, what, valid = BAD[text]
    with pytest.raises(SpecError) as caught:
        cells(text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in (where, what, valid))


def test_a_file_that_is_missing_or_not_yaml(tmp_path):
    with pytest.raises(SpecError, match=r"nothing\.yaml: cannot read the sweep file: No such file"):
        spec.load(tmp_path / "nothing.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\nb: 2")
    with pytest.raises(SpecError, match=r"broken\.yaml, line 2: not YAML"):
        spec.load(tmp_path / "broken.yaml")


def test_a_key_that_stands_twice_is_refused_not_half_forgotten(tmp_path):
    twice = MINIMAL + "    attack: {name: noise, epsilon: 0.1}\n    attack: {name: clean}\n"
    (tmp_path / "twice.yaml").write_text(twice)
    with pytest.raises(SpecError, match=rf"twice\.yaml, line {len(twice.splitlines())}: duplicate key 'attack'"):
        spec.load(tmp_path / "twice.yaml")
    merged = "a: &a {name: fgsm, epsilon: 0.1}\nb: [{<<: *a, name: pgd}, {<<: *a, epsilon: 0.2}]\n"
    (tmp_path / "merged.yaml").write_text(merged)
    with pytest.raises(SpecError, match=r"merged\.yaml, line 2: a merge key, <<"):
        spec.load(tmp_path / "merged.yaml")


def test_a_point_knows_where_it_stands_and_a_result_does_not(tmp_path):
    text = (
        MINIMAL.replace("data: {size: [40, 80]}", "data: {size: 40}") + "  - {model: {backbone: cnn1}, attack: {name: clean}}\n"
    )
    (tmp_path / "two.yaml").write_text(text)
    made = spec.load(tmp_path / "two.yaml")
    places = list(dict.fromkeys(point.places for point in made.points()))
    sections = [f"two.yaml: blocks[0].{name}" for name in ("data", "model", "train", "evaluate")]
    assert places[:2] == [
        ("two.yaml: blocks[0]", *sections, f"two.yaml: blocks[0].attack[{i}]", "two.yaml: blocks[0].device") for i in (0, 1)
    ]
    assert places[2][5] == "two.yaml: blocks[1].attack"
    assert "two.yaml" not in str(made.model_dump())


class Own(Entry):
    """A user's own entry, with options of every kind."""

    flag: bool = False
    count: Annotated[int, Field(le=10**6)] | None = None
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    level: Literal[0, 1, 2] = 0
    either: bool | int = 0
    several: tuple[int, ...] = ()
    names: Literal["all"] | tuple[str, ...] = ()
    anything: Any = None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": True}, "count: own 'x': a boolean is no number, not True"),
        ({"share": False}, r"share: .*a boolean is no number.*\(valid: 0 to below 1\)"),
        ({"share": 1}, r"share: .*less than 1, not 1 \(valid: 0 to below 1\)"),
        ({"share": float("nan")}, "share: .*finite"),
        ({"level": True}, "level: .*a boolean is no number"),
        ({"several": [1, True]}, "several: .*a boolean is no number"),
        ({"several": [1, "a"]}, r"several\[1\]: .*not 'a'"),
        ({"flag": 1}, "flag: .*true or false, not 1"),
        ({"flag": 0.0}, "flag: .*true or false, not 0.0"),
        ({"names": 5}, "names: own 'x': Input should be 'all' or a valid tuple, not 5"),
        ({"names": ["a", 5]}, r"names: .*'all'"),
        ({"count": 10**5000}, "count: "),
        ({"count": "9" * 5000}, r"count: .*not '9+\.\.\."),
        ({"z" * 5000: 1}, r"unknown option 'zzz"),
    ],
)
def test_a_boolean_is_no_number_and_a_range_is_said(options, says):
    with pytest.raises(InputError, match=says) as caught:
        make("own", {"x": Own}, "x", options)
    assert len(str(caught.value)) < 900


def test_what_is_meant_is_taken():
    good = {"flag": True, "either": True, "count": "40", "share": "1e-3", "anything": True, "several": [1], "names": "all"}
    made = make("own", {"x": Own}, "x", good)
    assert (made.flag, made.either, made.count, made.share, made.anything) == (True, True, 40, 0.001, True)


def test_an_error_comes_out_of_another_process_whole_and_short():
    error = DataError("x" * 1000, where="y" * 1000, valid="z" * 1000)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(back), str(back), back.valid) == (DataError, str(error), "z" * 1000)
    assert len(str(back)) < 950
    assert "zzz..." in str(back)
    assert str(error.at("a").moved({"a": "f.yaml: blocks[1].data"}, "f.yaml")).startswith("f.yaml: blocks[1].data.yyy")
    for inner, place in (("noise", "device.noise"), ("device ibm", "device: device ibm"), ("/x/y.h5", "device: /x/y.h5")):
        placed = DeviceError("no", where=inner).at("device").moved({"device": "f.yaml: blocks[1].device"}, "f.yaml")
        assert str(placed) == f"f.yaml: blocks[1].{place}: no"
    assert str(SpecError("no").moved({"a": "b"}, "f.yaml: blocks[0]")) == "f.yaml: blocks[0]: no"


def test_a_name_in_other_letters_is_suggested():
    with pytest.raises(InputError, match=r"unknown thing 'VQC1'; did you mean 'vqc1'\?"):
        make("thing", {"vqc1": Own, "package.module:name": Own}, "VQC1", {})


class Deeper(Options):
    depth: int = 0


class Nested(Entry):
    path: str
    split: Literal["train", "valid"] = "train"
    inner: Deeper = Deeper()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pth": "p"}, "own 'x': unknown option 'pth'; did you mean 'path'? (valid: path, split='train', inner={depth})"),
        ({"foo": "p"}, "own 'x': unknown option 'foo' (valid: path, "),  # and not that something else lacks
        ({"path": "p", "seez": 3}, "unknown option 'seez'; did you mean 'seed'?"),  # a key of its section
        ({"path": "p", "split": "vald"}, "split: own 'x': Input should be 'train' or 'valid', not 'vald'; did you mean 'valid'?"),
        ({"path": "p", "split": 5}, "Input should be 'train' or 'valid', not 5"),
        ({"path": "p", "inner": {"dept": 1}}, "unknown option 'inner.dept'; did you mean 'depth'? (valid: depth=0)"),
    ],
)
def test_a_misspelt_option_is_named_with_the_one_that_is_meant(options, says):
    with pytest.raises(InputError) as caught:
        make("own", {"x": Nested}, "x", options, taken=("seed",))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed: [0, 1]", "evaluate: {image: 6}", "'image'; did you mean 'images'? (valid: images=200, batch_size=50, mode="),
        ("seed: [0, 1]", "evaluate: {image: 6}", "judges={devices, heads, seeds}, certificate=False"),
        ("seed: [0, 1]", "evaluate: {judges: {head: all}}", "'judges.head'; did you mean 'heads'?"),
        ("seed: [0, 1]", "evaluate: {mode: nativ}", "'surrogate' or 'native', not 'nativ'; did you mean 'native'?"),
        ("name: fgsm,", "name: fgsm, level: angle,", "not 'angle'; did you mean 'angles'?"),
        ("source: synthetic, size: 40", "source: synthetic, siz: 40", "'size' is required; is it meant by 'siz'?"),
    ],
)
def test_a_misspelt_key_of_a_section_is_named_with_the_one_that_is_meant(old, new, says):
    text = MINIMAL.replace("    data: {size: [40, 80]}\n", "")
    with pytest.raises(SpecError) as caught:
        cells(text.replace(old, new))
    assert says in str(caught.value)


def test_environment_variables_are_expanded_late_and_refused_when_unset(monkeypatch):
    monkeypatch.setenv("HQC_PLACE", "/somewhere")
    assert spec.expand("${HQC_PLACE}/x") == "/somewhere/x"
    monkeypatch.delenv("HQC_PLACE")
    with pytest.raises(SpecError, match=r"data\.path: the environment variable HQC_PLACE is not set"):
        spec.expand("${HQC_PLACE}/x", "data.path")


def test_a_list_of_classes_is_one_task_and_a_list_of_lists_an_axis():
    for given, expected in (("[3, 8]", [(3, 8)]), ("[[3, 8], [cat, dog, 5]]", [(3, 8), ("cat", "dog", 5)])):
        found = cells(MINIMAL.replace("size: [40, 80]", f"size: 40, classes: {given}"))
        assert list(dict.fromkeys(c.data.classes for c in found)) == expected
    assert {c.data.classes for c in cells()} == {None}


def test_an_attack_has_a_level():
    assert {c.attack.level for c in cells()} == {"pixels"}
    found = cells(MINIMAL.replace("{name: fgsm, ", "{name: fgsm, level: [features, angles], "))
    assert {c.attack.level for c in found if c.attack.name == "fgsm"} == {"features", "angles"}
    with pytest.raises(SpecError, match=r"blocks\[0\].attack\[0\].level: Input should be 'pixels', 'features' or 'angles'"):
        cells(MINIMAL.replace("{name: fgsm, ", "{name: fgsm, level: weights, "))


@pytest.mark.parametrize(("given", "size"), [(96, 96), ([40, 60], (40, 60)), ((60, 40), (60, 40)), ([8, 8], 8), (None, None)])
def test_an_image_size_is_a_side_or_height_and_width(given, size):
    found = spec.ModelSpec(backbone="x", image_size=given)
    assert found.image_size == size
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydantic's, of a value that is not what it expects
        assert spec.ModelSpec(**found.model_dump(mode="json")) == found
    assert spec.ModelSpec(**found.model_dump(mode="json")) == found


@pytest.mark.parametrize("given", [0, -1, 2049, 10**12, "wide", 9.5, [8], [8, 8, 8], [8, 0], [8, None], {}])
def test_an_image_size_that_is_none(given):
    with pytest.raises(ValidationError, match=r"image_size\n.*whole number from 1 to 2048, or \[height, width\]"):
        spec.ModelSpec(backbone="x", image_size=given)
