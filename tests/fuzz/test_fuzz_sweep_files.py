"""Whatever a sweep file or a command line says: it is planned, or refused in one line."""

import contextlib
import copy
import io
import os
import re
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hqc_ray import cli
from hqc_ray.attacks import ATTACKS
from hqc_ray.data import SOURCES
from hqc_ray.models.backbones import BACKBONES
from hqc_ray.models.heads import HEADS
from hqc_ray.quantum.devices import DEVICES
from hqc_ray.spec import SECTIONS, document
from tests.fuzz.promise import refused

GOOD = {
    "name": "good",
    "defaults": {
        "data": {"source": "synthetic", "size": 40, "images": 60},
        "model": {"backbone": "cnn1", "image_size": 32, "head": "vqc1", "n_qubits": 3},
        "train": {"epochs": 2, "learning_rate": 0.01},
        "evaluate": {"images": 10},
        "attack": [{"name": "fgsm", "epsilon": 0.1}, {"name": "pgd", "epsilon": ["1/255", 0.1], "steps": [3, 5]}],
        "device": {"name": "default.qubit", "shots": 100},
        "seed": [0, 1],
    },
    "blocks": [{"model": {"head": ["vqc1", "tanh"]}}, {"model": {"backbone": "cnn2"}, "evaluate": {"batch_size": 5}}],
}
ABC = "x, " * 9 + "x"
BOMB = "\n".join(["a0: &a0 [" + ABC + "]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))])
TEXTS = {  # a file's text, and what is said of it
    "": "t.yaml: the file is empty",
    "# nothing but this\n": "t.yaml: expected a mapping, not None",
    "- a\n": "expected a mapping, not ['a']",
    "a: [1,\nb: 2": "line 2: not YAML",
    "name: x\x00y": "not YAML: special characters",
    "name: x\n---\nname: y\n": "not YAML: but found another document",
    "defaults: {yes: 1}": "line 1: a key that is no text: yes",
    "defaults: {5: 1}": "a key that is no text: 5",
    "defaults: {null: 1}": "a key that is no text: null",
    "defaults: {[a]: 1}": "a key that is no text: a list or mapping",
    "defaults: {2024-01-01: 1}": "a key that is no text: 2024-01-01",
    "defaults: {seed: 1, 'seed': 2}": "duplicate key 'seed'",
    "defaults: {data: {size: !!int 'abc'}}": "a tag, !!int",
    "defaults: {data: {size: !mine 5}}": "a tag, !mine",
    "defaults: !!set {a}": "a tag, !!set",
    "name: !!python/object/apply:os.system ['true']": "a tag, !!python/object/apply:os.system",
    "defaults: {data: &d {size: 40}, train: {<<: *d}}": "a merge key, <<",
    "defaults: &d {data: *d}": "too many values",
    "a: &a [*a]": "too many values",
    BOMB: "too many values",
    "a: " + "[" * 21 + "]" * 21: "values nested too deeply (valid: 20 levels at most)",
    "a: " + "[" * 30_000: "values nested too deeply",
    "a: " + "{a: " * 15_000: "values nested too deeply",
    "name: 2024-01-01": "a date, 2024-01-01 (valid: '2024-01-01': in quotes it is text)",
    "name: 5": "name: not a name: 5",
    "name: yes": "name: not a name: True",
    "name: [x]": "name: not a name: ['x']",
    "name: a b": "name: not a name: 'a b'",
    "name: " + "a" * 101: "name: not a name",
    "name: " + "a" * 1001: "a text with 1,001 characters",
    'name: "a\\0b"': "a text with control characters",
    'name: "a\\e[2J"': "a text with control characters",
    'name: "\\ud800"': "a text with control characters",
    "defaults: {seed: 010}": "not a decimal, finite number: 010",
    "defaults: {seed: 1_0}": "not a decimal, finite number: 1_0",
    "defaults: {attack: {epsilon: 1_0.5}}": "not a decimal, finite number: 1_0.5",
    "defaults: {seed: 0x1F}": "not a decimal, finite number: 0x1F",
    "defaults: {seed: 0b11}": "not a decimal, finite number: 0b11",
    "defaults: {seed: 1:30}": "not a decimal, finite number: 1:30",
    "defaults: {seed: .inf}": "not a decimal, finite number: .inf",
    "defaults: {seed: .nan}": "not a decimal, finite number: .nan",
    "defaults: {seed: 1e400}": "not a decimal, finite number: 1e400",
    "defaults: {seed: " + "1" * 5000 + "}": "not a decimal, finite number: 1111",
    "blocks: []": "blocks: no block",
    "blocks: no": "expected `defaults` as a mapping and `blocks` as a list",
    "blocks: [null]": "`blocks` as a list of mappings",
    "defaults: 0": "expected `defaults` as a mapping",
    "x" * (document.MAX_BYTES + 1): "too large for a sweep file (valid: up to 65,536 bytes)",
}
VALUES = [  # a place in the good file, a value, and what is said of it
    ("defaults.seed", 2**32, "blocks[0].seed: not a seed: 4294967296 (valid: an integer from 0 to 4294967295"),
    ("defaults.seed", -1, "not a seed: -1"),
    ("defaults.seed", True, "not a seed: True"),
    ("defaults.seed", 1.0, "not a seed: 1.0"),
    ("defaults.seed", "0-4", "not a seed: '0-4'"),
    ("defaults.seed", {"a": 1}, "not a seed: {'a': 1}"),
    ("defaults.data.size", 10**12, "blocks[0].data.size: "),
    ("defaults.data.size", 9, "(valid: 10 to 10,000,000)"),
    ("defaults.data.size", 41, "(valid: an even number, 10 or more"),
    ("defaults.data.size", 62, "(valid: an even number from 10 to 60)"),
    ("defaults.data.size", "four", "not 'four'"),
    ("defaults.data.images", 8, "(valid: a source with 5 images of each class)"),
    ("defaults.data.images", 10**9, "(valid: 2 to 10,000,000)"),
    (
        "defaults.data.test_fraction",
        0.9999,
        "none to train on with test_fraction 0.9999 and validation_fraction 0.0 (valid: test_fraction up to 0.95)",
    ),
    ("defaults.data.test_fraction", True, "a boolean is no number"),
    ("defaults.data.seed", -1, "(valid: 0 to 4,294,967,295)"),
    ("defaults.data.size_pixels", 10**6, "(valid: 8 to 1,024)"),
    ("defaults.data.name", "x", "unknown option 'name'"),
    ("defaults.data.classes", [True, False], "a boolean is no number"),
    ("defaults.data.classes", [0, 1.5], "blocks[0].data.classes[1]: "),
    ("defaults.data.source", 5, "blocks[0].data.source: "),
    ("defaults.model.image_size", 20_000, "a whole number from 1 to 2048"),
    ("defaults.model.n_qubits", True, "a boolean is no number"),
    ("defaults.model.layers", 101, "(valid: 1 to 100)"),
    ("defaults.model.reuploads", 10**12, "(valid: 1 to 100)"),
    ("defaults.model.weights", "other.pth", "blocks[0].model.weights: cnn1 is trained end to end"),
    ("defaults.model.backbone", "a" * 999, "unknown backbone 'aaa"),
    ("defaults.train.epochs", True, "blocks[0].train.epochs: a boolean is no number, not True (valid: 1 to 100,000)"),
    ("defaults.train.epochs", 10**8, "(valid: 1 to 100,000)"),
    ("defaults.train.learning_rate", 1e9, "(valid: above 0 to 100)"),
    ("defaults.train.learning_rate", "1e999", "finite number"),
    ("defaults.train.device", [[{"name": "qiskit.aer"}]], "blocks[0].train.device: "),
    ("defaults.train.device", {"name": 5}, "blocks[0].train.device.name: "),
    ("defaults.evaluate.images", 0, "(valid: 1 to 10,000,000)"),
    ("defaults.evaluate.repeats", 10**9, "(valid: 1 to 10,000)"),
    ("defaults.evaluate.judges", {"devices": 5}, "blocks[0].evaluate.judges.devices: "),
    ("defaults.evaluate.judges", {"seeds": [True]}, "a boolean is no number"),
    ("defaults.evaluate.judges", {"heads": ["mlp"]}, "blocks[0].evaluate.judges.heads: 'mlp' is not in this sweep"),
    ("defaults.device.shots", 2**70, "(valid: 1 to 1,000,000,000)"),
    ("defaults.device.shots", True, "a boolean is no number"),
    ("defaults.device.seed", 2**64, "(valid: 0 to 4,294,967,295)"),
    ("defaults.device", {"name": "qiskit.aer", "transpile_seed": -1}, "blocks[0].device.transpile_seed: "),
    ("defaults.device", {"name": "qiskit.aer", "optimization_level": True}, "a boolean is no number"),
    ("defaults.device", {"name": "qiskit.aer", "t1_us": 1e300}, "not 1e+300 (valid: above 0 to 1,000,000,000)"),
    ("defaults.device", {"name": "default.mixed", "shots": 10**9}, "(valid: 1 to 1,000,000)"),
    ("defaults.attack.1.steps", 10**9, "blocks[0].attack[1].steps: attack 'pgd': "),
    ("defaults.attack.1.steps", [3, 0], "blocks[0].attack[1].steps: attack 'pgd': "),
    ("defaults.attack.1.step", 3, "blocks[0].attack[1]: attack 'pgd': unknown option 'step'"),
    ("defaults.attack.1.random_start", 1, "Input should be true or false, not 1"),
    ("defaults.attack.1.restarts", 10**6, "(valid: 1 to 1,000)"),
    (
        "defaults.attack.0.epsilon",
        8,
        "blocks[0].attack[0].epsilon: epsilon 8 of pixels, which lie in [0, 1]; did you mean 8/255",
    ),
    ("defaults.attack.0.epsilon", "8/1", "did you mean 8/255?"),
    ("defaults.attack.0.epsilon", 300, "which lie in [0, 1] (valid: 0 to 1 in linf"),
    ("defaults.attack.0.epsilon", True, "a boolean is no number"),
    ("defaults.attack.0.epsilon", "10%", "not '10%'"),
    ("defaults.attack.0.epsilon", -0.1, "(valid: 0 to 10,000; of pixels in linf 0 to 1, such as 8/255)"),
    ("defaults.attack", {"name": "ensemble", "members": {"pgd": {"steps": 0}}}, "blocks[0].attack.members.pgd.steps: "),
    (
        "blocks.1.attack",
        [{"name": "clean"}, {"name": "fgsm", "epsilon": 0.1}, {"name": "pdg"}],
        "blocks[1].attack[2]: unknown attack 'pdg'",
    ),
    ("blocks.1.device", {"name": "default.qubti"}, "blocks[1].device: unknown device"),
    ("storage", "s3:/bucket/prefix", ": storage: not a storage: 's3:/bucket/prefix'"),
    ("storage", "s3:bucket", "not a storage"),
    ("storage", "file:/a", "not a storage"),
    ("storage", "s3://[bad/x", "not a storage: brackets"),
    ("storage", "s3://[bad]/x", "not a storage"),
    ("storage", "s3://host:9000/bucket", "not a storage"),
    ("storage", "s3://bucket/../x", "not a storage"),
    ("storage", "http:/x", "not a storage"),
    ("storage", True, "not a storage: True"),
]
ARGUMENTS = {  # of hqc, with FILE for a good sweep file -> what is said
    "sweeep FILE": "unknown command 'sweeep'; did you mean 'sweep'?",
    "plan": "required: file",
    "plan FILE FILE": "is one argument too many",
    "plan nowhere.yaml": "nowhere.yaml: cannot read the sweep file: No such file",
    "plan .": "Is a directory",
    "plan PIPE": "not a file",
    "plan /dev/zero": "not a file",
    f"plan {'a' * 300}": "unknown sweep 'aaa",
    f"plan {'a' * 300}.yaml": "File name too long",
    "sweep FILE --workers 0": "'0' is not a number from 1 to 100,000",
    "sweep FILE --workers 1e3": "'1e3' is not a number",
    "sweep FILE --workers ٣": "'٣' is not a number",
    f"sweep FILE --workers {'9' * 5000}": "is not a number",
    "sweep FILE --workers-per-gpu 1000": "is not a number from 1 to 100",
    "sweep FILE --serial --storage s3:/bucket": "--storage: not a storage: 's3:/bucket'",
    "sweep FILE --serial --storage s3://key:word@bucket": "--storage: a storage URI has no credentials",
    "sweep FILE --serial --workers 2": "--serial runs in this process",
    "sweep BAD --serial": "blocks[0].attack[0].epsilon",
    "data synthetic images=yes": "images: ",
    "data synthetic images=1e3": "images: ",
    "data synthetic images=40 images=41": "the option 'images' twice",
    "data synthetic images": "not an option: 'images'",
    "data synthetic name=x": "unknown option 'name'",
    "data synthetic seed=-1": "(valid: 0 to 4,294,967,295)",
    "data synthetic classes=": "two or more of normal, tumour",
    "data folder path=nowhere": "no folder 'nowhere'",
    f"data folder path={'a' * 300}": "File name too long",
    f"data npz path={'a' * 300}": "File name too long",
    f"data csv path=. images={'a' * 300}": "no folder",
    f"data idx path=. prefix={'a' * 300}": "no aaa",
    "circuits --pairs 1000000000000": "is not a number from",
    "circuits --layers x": "'x' is not a number",
    "circuits vqc1 --qubits 99": "n_qubits 99",
    "cluster doctor --timeout nan": "is not a number of seconds",
    "cluster doctor --timeout -1": "is not a number of seconds",
    "submit FILE --workers 0": "is not a number from 1",
}
NASTY = [
    None, True, False, 0, -1, 1, 2, 2**31, 2**32, 2**63, 2**64, 10**30, 0.5, 1e-300, 1e300, "", " ", "a", "8/255", "1e3", "None",
    "yes", "٣", "ａ", "../..", "/", "~", "${NOT_SET}", "a:b", "no.such:x", ":", "x" * 900, [], {}, [[]], [{}], {"a": {"b": {}}},
    [1, "a", None], {"name": "pgd"}, {"name": None}, "synthetic", "folder", "pgd", "ensemble", "ibm", "qiskit.aer", "tanh",
]  # fmt: skip

SIGNS = "[]{}:,-#&*!|>'\"%@`~\t\n 0ax"
FUZZ = settings(
    max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip


def write(folder, raw, name="t.yaml"):
    text = raw if isinstance(raw, str) else yaml.safe_dump(raw, allow_unicode=True, sort_keys=False)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def changed(place, value):
    """The good file with a value at a place such as 'defaults.attack.1.steps'."""
    raw = copy.deepcopy(GOOD)
    *parents, last = place.split(".")
    inner = raw
    for part in parents:
        inner = inner[int(part) if isinstance(inner, list) else part]
    inner[last] = value
    return raw


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40])
def test_a_text_that_is_no_sweep_file(tmp_path, text):
    assert TEXTS[text] in refused(tmp_path, "plan", write(tmp_path, text))


@pytest.mark.parametrize(("place", "value", "says"), VALUES, ids=[f"{place}={str(value)[:40]}" for place, value, _ in VALUES])
def test_a_value_out_of_range(tmp_path, place, value, says):
    assert says in refused(tmp_path, "plan", write(tmp_path, changed(place, value)))


@pytest.mark.parametrize("words", ARGUMENTS, ids=lambda words: words[:40])
def test_arguments_that_are_wrong(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("PIPE")
    names = {"FILE": write(tmp_path, GOOD), "BAD": write(tmp_path, changed("defaults.attack.0.epsilon", 8), "bad.yaml")}
    assert ARGUMENTS[words] in refused(tmp_path, *(names.get(word, word) for word in words.split()))


def test_a_grid_is_counted_before_it_is_built(tmp_path):
    ten = list(range(1, 11))
    raw = changed("defaults.train", {"epochs": ten, "batch_size": ten, "learning_rate": ten})
    raw["defaults"] |= {"evaluate": {"images": ten, "batch_size": ten}, "seed": list(range(1000))}
    says = refused(tmp_path, "plan", write(tmp_path, raw))
    assert ": blocks[0]: the grid has 1,050,000,000 cells: " in says  # of both blocks
    assert "1,000 seeds, 10 train.epochs, 10 train.batch_size" in says
    assert "5 entries of attack, 2 model.head (valid: up to 10,000,000 cells)" in says
    huge = "defaults: {seed: [" + "0, " * 1000 + "0], data: {" + ", ".join(f"a{i}: [{'0, ' * 9}0]" for i in range(900)) + "}}"
    assert "the grid has 10^90" in refused(tmp_path, "plan", write(tmp_path, huge))


ENTRIES = {
    **{f"section {name}": section for name, section in SECTIONS.items()},
    **{name: entry for table in (ATTACKS, SOURCES, DEVICES, HEADS, BACKBONES) for name, entry in table.items()},
}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_number_of_every_entry_has_a_range_with_two_ends(name):
    for option, field in ENTRIES[name].model_fields.items():
        rules = f"{field.annotation} {field.metadata}"
        if re.search(r"\b(int|float)\b", rules) and not re.search("tuple|Literal", rules):
            assert re.search(r"\bg[et]=", rules), option
            assert re.search(r"\bl[et]=", rules), option


def places(value, at=()):
    """Every place in nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        yield from places(one, (*at, key))


@st.composite
def mutated(draw):
    """The good sweep with one to three values replaced, deleted, doubled or nested."""
    raw = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(raw))
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        inner = raw
        for part in parents:
            inner = inner[part]
        nasty = copy.deepcopy(draw(st.sampled_from(NASTY)))
        match draw(st.sampled_from(["replace", "replace", "delete", "double", "nest", "another key"])):
            case "replace":
                inner[last] = nasty
            case "delete":
                del inner[last]
            case "double":
                inner[last] = [inner[last], copy.deepcopy(inner[last])]
            case "nest":
                inner[last] = {"a": inner[last]}
            case "another key" if isinstance(inner, dict):
                inner["a" if not isinstance(nasty, str) else nasty] = nasty
    return raw


def planned(file):
    """Whether `hqc plan FILE` ends well, quickly; what it prints is of no interest."""
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        good = cli.main(["plan", str(file)]) == cli.OK
    assert not good or time.process_time() - began < 5
    return good


def test_the_good_file_is_good(tmp_path):
    assert planned(write(tmp_path, GOOD))


@settings(
    max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=mutated())
def test_any_change_of_a_good_file_is_planned_or_refused(tmp_path, raw):
    file = write(tmp_path, raw)
    if not planned(file):
        refused(tmp_path, "plan", file)


@settings(
    max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 20), st.text("[]{}:,-#&*!|>'\"%@`~\t\n 0ax", max_size=6)), max_size=4
    )
)
def test_any_change_of_its_text_is_planned_or_refused(tmp_path, cuts):
    text = yaml.safe_dump(GOOD, sort_keys=False)
    for start, length, more in cuts:
        text = text[:start] + more + text[start + length :]
    file = write(tmp_path, text)
    if not planned(file):
        refused(tmp_path, "plan", file)
