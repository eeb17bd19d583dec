"""An error of a sweep file says on which line it is, and all of a file's errors are told at once."""

import pickle

import pytest

from hqc_ray import spec
from hqc_ray.errors import InputError, SpecError
from hqc_ray.spec import document, lines

TEXT = """\
name: lines
defaults:
  data: {source: synthetic, size: 40}
  attack:
    - {name: clean}
    - name: pgd
      epsilon: [0.1,
                0.2]
  device: [{name: default.qubit}]
seed_of_nothing: 1
blocks:
  - model: {backbone: cnn1}
    data: {size: 50}
  - attack: {name: fgsm, epsilon: 0.1}
    model:
      backbone: cnn2
"""


@pytest.fixture
def places(tmp_path):
    (tmp_path / "x.yaml").write_text(TEXT)
    return document.read(tmp_path / "x.yaml")[1]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("name", 1),
        ("defaults", 2),
        ("blocks[0]", 12),
        ("blocks[0].model.backbone", 12),
        ("blocks[0].data", 13),  # its own, though `defaults` have one
        ("blocks[0].data.size", 13),
        ("blocks[0].data.source", 3),  # from `defaults`
        ("blocks[0].attack", 4),
        ("blocks[0].attack[1]", 6),
        ("blocks[0].attack[1].epsilon", 7),
        ("blocks[0].device.name", 9),  # a list of one entry, whose index errors leave out
        ("blocks[1].attack", 14),
        ("blocks[1].model", 15),
        ("blocks[1].model.backbone", 16),
    ],
)
def test_every_place_has_its_line(places, place, line):
    assert places[place][0] == line
    (found,) = lines.lined(SpecError("odd", where=f"x.yaml: {place}"), places, "x.yaml").all
    assert found.where == f"x.yaml, line {line}: {place}"


@pytest.mark.parametrize(
    ("what", "where", "line"),
    [
        ("unknown backbone 'cnn2'", "blocks[1].model", 16),  # the value that it quotes
        ("unknown option 'epsilon'", "blocks[0].attack[1]", 7),  # the key that it quotes
        ("unknown key 'seed_of_nothing'", "", 10),
        ("'size' is required", "blocks[1].train.epochs[3]", 14),  # what is not there: the next that is around it
        ("unknown attack 'nobody'", "blocks[0].attack[1]", 6),
    ],
)
def test_the_line_is_that_of_the_name_which_an_error_quotes(places, what, where, line):
    given = f"x.yaml: {where}" if where else "x.yaml"
    assert lines.number(lines.lined(SpecError(what, where=given), places, "x.yaml")) == line


def test_an_error_of_something_else_stays_as_it_is(places):
    for where in ("--storage", "y.yaml: blocks[0]", "", "x.yaml"):
        found = lines.lined(SpecError("odd", where=where), places, "x.yaml")
        assert found.where == where
    assert lines.number(SpecError("odd", where="x.yaml, line 7: blocks")) == 7


def refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        spec.checked(tmp_path / "x.yaml")
    return [f"{lines.number(one)}: {one.what}" for one in caught.value.all]


def test_all_errors_of_a_file_are_told_in_its_order_and_each_once(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE_Y", raising=False)
    text = TEXT.replace("seed_of_nothing: 1\n", "").replace("size: 40", "size: four, of: [[1]]").replace("0.2]", "-1]")
    text = text.replace("fgsm, epsilon: 0.1", "fgsm, epsilon: x").replace("backbone: cnn2", "head: vqc1")
    found = refused(tmp_path, text)
    assert [one.partition(":")[0] for one in found] == ["3", "7", "13", "14"]
    assert found[-1] == "14: 'backbone' is required"


def test_sections_that_no_block_may_have_are_all_told(tmp_path):
    text = "defaults: {modle: {}}\nblocks:\n  - atack: {}\n  - model: {}\n    sede: 1\n"
    assert refused(tmp_path, text) == [
        "1: unknown section 'modle'; did you mean 'model'?",
        "3: unknown section 'atack'; did you mean 'attack'?",
        "5: unknown section 'sede'; did you mean 'seed'?",
    ]


def test_variables_that_are_not_set_are_told_before_any_library_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE_Y", raising=False)
    text = TEXT.replace("seed_of_nothing: 1\n", "").replace("cnn1", 'cnn1, weights: "${NOWHERE_Y}/a.pth"')
    assert refused(tmp_path, text) == ["11: the environment variable NOWHERE_Y is not set"]


def test_errors_that_were_found_together_survive_the_way_out_of_another_process():
    made = SpecError("a", where="x").beside([InputError("b", valid="c")])
    back = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own
    assert type(back) is SpecError
    assert [str(one) for one in back.all] == ["x: a", "b (valid: c)"]
