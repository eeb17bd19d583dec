"""What may enter a row: two validated parts, in which nothing is misspelt, missing, or of a wrong type."""

import json

import pytest
from pydantic import ValidationError

from hqc_ray import redaction
from hqc_ray.errors import ResultsError
from hqc_ray.results.row import VOLATILE, AttackIdentity, Decided, Deployed, Measured, Planned, Row, Searched, parse
from tests.example_rows import MEASURED, PLANNED, measured, planned, row

PARTS = [(Planned, PLANNED), (Measured, MEASURED)]
each = pytest.mark.parametrize(("part", "values"), PARTS, ids=["planned", "measured"])


@each
def test_a_misspelt_column_is_refused(part, values):
    with pytest.raises(ValidationError, match="robust_acuracy"):
        part(**values, robust_acuracy=0.5)


@each
def test_a_column_that_is_missing_is_refused(part, values):
    for name, column in part.model_fields.items():
        if column.is_required():
            with pytest.raises(ValidationError, match=name):
                part(**{key: value for key, value in values.items() if key != name})


WRONG = {
    "float": ["0.5", True, None, float("nan"), float("inf")], "int": ["8", 1.5, True, None], "str": [1, None, b"x"],
    "bool": ["yes", 1],
}  # fmt: skip


@each
def test_a_value_of_another_type_is_refused(part, values):
    tried = 0
    for name, column in part.model_fields.items():
        for wrong in WRONG.get(getattr(column.annotation, "__name__", ""), []):
            with pytest.raises(ValidationError):
                part(**{**values, name: wrong})
            tried += 1
    assert tried > 30


@each
def test_a_part_cannot_be_changed_afterwards(part, values):
    one = part(**values)
    with pytest.raises(ValidationError, match="frozen"):
        one.key = one.n_evaluated = 1


def test_values_of_a_choice_are_checked():
    for name in ("access", "audience", "level", "head_kind", "device_kind", "attack_kind", "mode"):
        with pytest.raises(ValidationError, match=name):
            planned(**{name: "other"})


def test_a_row_is_both_parts_and_how_it_went():
    whole = row(seconds=1.0, host="h", finished_at="now")
    assert whole.status == "ok"
    assert whole.facts() == {**whole.model_dump(exclude=set(VOLATILE))}
    assert {name: getattr(whole, name) for name in MEASURED} == MEASURED
    failed = Row.failed(planned(example="examples/a.npz"), "line 1\nline 2")
    assert (failed.status, failed.error, failed.example, failed.robust_accuracy) == ("failed", "line 1\nline 2", "", None)


def test_a_misspelt_stamp_is_refused():
    with pytest.raises(ValidationError, match="second"):
        Row.ok(planned(), measured(), second=1.0)


def test_a_result_without_its_numbers_is_refused_when_it_is_made_and_when_it_is_read():
    line = json.loads(row().model_dump_json())
    for name in ("robust_accuracy", "clean_correct", "n_evaluated", "gradients"):
        with pytest.raises(ValidationError, match=f"without '{name}'"):
            Row(**{**line, name: None})
        with pytest.raises(ResultsError, match="line 1: not a row of this version"):
            parse(json.dumps({**line, name: None}).encode(), "line 1")
    assert parse(json.dumps(line).encode(), "line 1") == row()


@pytest.mark.parametrize(("change", "said"), [
    ({"robust_correct": "zz"}, "robust_correct"), ({"clean_correct": ""}, "clean_correct"), ({"n_evaluated": 99}, "99 images"),
    ({"n_evaluated": -1}, "n_evaluated"), ({"robust_accuracy": 1.5}, "robust_accuracy"), ({"epsilon": -0.1}, "epsilon"),
    ({"n_classes": 0}, "n_classes"), ({"class_names": "{}"}, "class_names"), ({"model_options": "[1]"}, "model_options"),
    ({"attack_options": "{"}, "attack_options"), ({"seed": 2**64}, "seed"), ({"device": 5}, "device"),
    ({"new_column": 1}, "no column is called 'new_column'"),
])  # fmt: skip
def test_what_a_report_cannot_read_is_refused_with_the_column_and_the_way_out(change, said):
    line = json.loads(row().model_dump_json()) | change
    with pytest.raises(ResultsError, match=r"line 1: not a row of this version: .*delete it, and `hqc sweep`") as raised:
        parse(json.dumps(line).encode(), "line 1")
    assert said in str(raised.value)


def test_a_row_of_before_the_settings_is_read():
    line = json.loads(row().model_dump_json())
    new = ("data_options", "train_epochs", "evaluate_images", "head_title", "backbone_title", "device_options")
    old = parse(json.dumps({k: v for k, v in line.items() if k not in new}).encode(), "line 1")
    assert (old.data_options, old.train_epochs, old.head_title) == ("", None, "")


def test_a_row_of_before_the_certificates_is_read():
    line = json.loads(row().model_dump_json())
    old = parse(json.dumps({k: v for k, v in line.items() if "certifi" not in k}).encode(), "line 1")
    assert (old.certified_accuracy, old.certified_correct, old.evaluate_certificate) == (None, None, False)
    with pytest.raises(ResultsError, match="certified_correct"):
        parse(json.dumps(line | {"certified_correct": "zz"}).encode(), "line 1")


def test_an_error_holds_no_home_no_private_value_and_none_that_the_sweep_file_names(monkeypatch):
    monkeypatch.setattr(redaction, "_named", {"MY_PLACE"})
    monkeypatch.setenv("MY_TOKEN", "s3cr3t")
    monkeypatch.setenv("MY_PLACE", "/data/of/ann")
    monkeypatch.setenv("HOME", "/scratch/ann")
    error = "no /data/of/ann/x for s3cr3t\n  File /home/bob/a.py, /scratch/ann/b.py, /scratch/anna, /root/c.py\nC:\\Users\\eve\\d"
    assert Row.failed(planned(), error).error == (
        "no ${MY_PLACE}/x for ${MY_TOKEN}\n  File ~/a.py, ~/b.py, /scratch/anna, ~/c.py\n~\\d"
    )


def test_every_row_survives_its_line():
    for one in (row(), row(robust_accuracy=1.0, epsilon=1.0, mean_linf=None), row(status="failed", error="e")):
        assert parse(one.model_dump_json().encode(), "x") == one


def test_a_measured_part_is_the_union_of_three():
    three = [part(**{n: MEASURED[n] for n in part.model_fields if n in MEASURED}) for part in (Deployed, Searched, Decided)]
    assert Measured.of(*three) == measured()
    with pytest.raises(ValidationError, match="gradients"):
        Measured.of(three[0], three[2])


def test_an_identity_tells_attacks_apart_by_what_they_are():
    same = {"epsilon": 0.1, "key": "b", "seed": 0}
    assert AttackIdentity.of(dict(row())) == AttackIdentity.of(dict(row(**same)))
    changes = [
        {"access": "ideal"},
        {"level": "angles"},
        {"norm": "l2"},
        {"attack_options": '{"a": 1}'},
        {"search_model_key": "n"},
    ]
    assert len({AttackIdentity.of(dict(row(**change))) for change in ({}, *changes)}) == 6
