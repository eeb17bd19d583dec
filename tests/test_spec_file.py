"""How a sweep file is read: defaults under blocks, axes, forms of a storage, variables of the environment."""

import pytest
import yaml

from hqc_ray import spec
from hqc_ray.errors import SpecError
from hqc_ray.spec import SweepSpec

WHOLE = """
data: {source: synthetic, size: 40}
model: {backbone: resnet18}
attack: {name: clean}
"""


def parse(**parts):
    return spec.parse(parts, "mine")


def points(**block):
    return list(parse(blocks=[{**yaml.safe_load(WHOLE), **block}]).points())


def test_sections_of_a_block_are_merged_into_the_defaults_key_by_key_at_any_depth():
    defaults = {
        "data": {"source": "pcam", "size": 40},
        "train": {"epochs": 3, "device": {"name": "qiskit.aer", "noise": "fake_manila"}},
        "attack": [{"name": "fgsm"}],
        "seed": [0, 1],
    }
    blocks = [{"data": {"size": [10, 20]}, "train": {"device": {"noise": "fake_lima"}}, "seed": 5}, {"attack": {"name": "pgd"}}]
    first, second = parse(defaults=defaults, blocks=blocks).blocks
    assert first["data"] == {"source": "pcam", "size": [10, 20]}
    assert first["train"] == {"epochs": 3, "device": {"name": "qiskit.aer", "noise": "fake_lima"}}
    assert (first["attack"], first["seed"]) == ([{"name": "fgsm"}], 5)
    assert second == {**defaults, "attack": {"name": "pgd"}}  # a list is replaced as a whole
    assert defaults["data"] == {"source": "pcam", "size": 40}


def test_without_blocks_the_defaults_are_the_block_and_the_file_gives_the_name():
    made = parse(defaults={"seed": 3})
    assert (made.name, made.storage, made.blocks) == ("mine", None, ({"seed": 3},))
    assert spec.parse({"name": "7"}, "mine").name == "7"
    assert SweepSpec.model_validate(made.model_dump(mode="json")) == made


def test_a_list_is_an_axis_and_the_last_axes_run_fastest():
    attack = [{"name": "fgsm", "epsilon": [0.1, "1/4"]}, {"name": "clean"}]
    found = points(data={"source": "synthetic", "size": [10, 20]}, attack=attack, seed=[3, 1])
    assert [(p.data.size, p.attack.name, p.attack.epsilon, p.seed) for p in found[:6]] == [
        *[(10, "fgsm", 0.1, 3), (10, "fgsm", 0.1, 1), (10, "fgsm", 0.25, 3), (10, "fgsm", 0.25, 1)],
        *[(10, "clean", 0, 3), (10, "clean", 0, 1)],
    ]
    assert len(found) == 12
    assert found[0].device == spec.DeviceSpec()
    assert found[0].evaluate == spec.EvaluateSpec()


def test_judges_and_nested_devices_are_one_value():
    (one,) = points(
        evaluate={"judges": {"heads": ["tanh", "mlp"], "seeds": "all"}}, train={"device": {"name": "ibm", "shots": 5}}
    )
    assert one.evaluate.judges.heads == ("tanh", "mlp")
    assert one.evaluate.judges.any
    assert not spec.JudgesSpec().any
    assert one.train.device is not None
    assert one.train.device.options == {"shots": 5}


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"data": 5}, r"^blocks\[0\]\.data: expected a mapping, not 5 \(valid: source, classes, size"),
        ({"attack": []}, r"^blocks\[0\]: the axis 'attack' is empty$"),
        ({"attack": [{"name": "fgsm"}, {"name": "pgd", "steps": []}]}, r"^blocks\[0\]\.attack\[1\]: the axis 'steps' is empty$"),
        ({"attack": [{"name": "fgsm"}, {"epsilon": 0.1}]}, r"^blocks\[0\]\.attack\[1\]: 'name' is required"),
        (
            {"attack": {"name": "fgsm", "epsilon": "1/0"}},
            r"^blocks\[0\]\.attack\.epsilon: .*not '1/0' \(valid: 0 to 10,000; of pixels",
        ),
        (
            {"attack": {"name": "fgsm", "epsilon": "1%"}},
            r"not '1%' \(valid: 0 to 10,000; of pixels in linf 0 to 1, such as 8/255\)",
        ),
        ({"attack": {"name": "fgsm", "epsilon": float("inf")}}, r"^blocks\[0\]\.attack\.epsilon: .*finite"),
        ({"train": {"device": {"nam": "ibm", "name": 5}}}, r"^blocks\[0\]\.train\.device\.name: "),
        ({"evaluate": {"judges": {"head": "all"}}}, r"^blocks\[0\]\.evaluate: unknown option 'judges\.head'"),
        ({"seed": True}, r"^blocks\[0\]\.seed: not a seed: True"),
        ({"seed": [0, -1]}, r"^blocks\[0\]\.seed: not a seed: -1"),
        ({"seed": []}, r"^blocks\[0\]\.seed: not a seed: \[\]"),
    ],
)
def test_what_is_wrong_in_a_block_is_said_with_its_place_in_one_line(block, says):
    with pytest.raises(SpecError, match=says) as caught:
        points(**block)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"defaults": [1]}, "mine: expected `defaults` as a mapping and `blocks` as a list of mappings"),
        ({"blocks": {"data": {}}}, "expected `defaults` as a mapping and `blocks` as a list"),
        ({"blocks": [1]}, "expected `defaults` as a mapping and `blocks` as a list"),
        ({"blocks": [{}, {"trian": {}}]}, r"^mine: blocks\[1\]: unknown section 'trian'; did you mean 'train'"),
        ({"name": ""}, r"^mine: name: not a name: ''"),
        ({"name": "a" * 101}, r"^mine: name: not a name"),
        (None, "^mine: expected a mapping"),
    ],
)
def test_a_document_of_another_form_is_refused(document, says):
    with pytest.raises(SpecError, match=says):
        spec.parse(document, "x", "mine")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket",
        "s3://bucket/a/b",
        "gs://bucket/a",
        "file:///a/b",
        "/a/b",
        "relative/b",
        "~/b",
        "s3://${BUCKET}/a",
        "${PLACE}",
    ],
)
def test_forms_of_a_storage(uri):
    assert parse(storage=uri).storage == uri


@pytest.mark.parametrize(
    "uri", ["", "  ", 5, True, ["/a"], "s3://", "s3:///a", "gs://", "file://host/a", "http://host/a", "hdfs://host/a"]
)
def test_what_is_no_storage(uri):
    with pytest.raises(SpecError, match=r"^sweep: storage: not a storage: .*valid: s3://BUCKET/PREFIX"):
        parse(storage=uri)


@pytest.mark.parametrize(
    "uri", ["s3://key:hunter2@bucket/a", "s3://hunter2@bucket", "s3://bucket/a?secret=hunter2", "gs://b#hunter2"]
)
def test_a_secret_in_a_storage_is_refused_and_not_repeated(uri):
    with pytest.raises(SpecError, match="no credentials and no options") as caught:
        parse(storage=uri)
    assert "hunter2" not in str(caught.value)


def test_variables_are_replaced_wherever_they_stand_and_what_is_no_text_stays(monkeypatch):
    monkeypatch.setenv("HQC_A", "one")
    monkeypatch.setenv("HQC_B", "${HQC_A}")
    assert spec.expand("/${HQC_A}/${HQC_B}/$HQC_A/{HQC_A}/${HQC_A}") == "/one/${HQC_A}/$HQC_A/{HQC_A}/one"  # once, not again
    assert [spec.expand(value) for value in (5, None, ["${HQC_A}"])] == [5, None, ["${HQC_A}"]]
    monkeypatch.setenv("HQC_A", "")
    with pytest.raises(
        SpecError, match=r"^data\.path: the environment variable HQC_A is not set \(valid: export HQC_A=\.\.\.\)$"
    ):
        spec.expand("/${HQC_B}/${HQC_A}", "data.path")


def test_a_file_gives_its_stem_as_name_and_is_read_as_text(tmp_path):
    (tmp_path / "my.sweep.yaml").write_text("defaults: {seed: 1}\n")
    assert spec.load(tmp_path / "my.sweep.yaml").name == "my.sweep"
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(SpecError, match=r"binary\.yaml: cannot read the sweep file: not a text file"):
        spec.load(tmp_path / "binary.yaml")
    with pytest.raises(SpecError, match="cannot read the sweep file: Is a directory"):
        spec.load(tmp_path)
    (tmp_path / "tagged.yaml").write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(SpecError, match=r"tagged\.yaml, line 1: a tag, !!python/object/apply:os\.system"):
        spec.load(tmp_path / "tagged.yaml")
