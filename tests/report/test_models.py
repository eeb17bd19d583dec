"""Models and attacks as they are named and ordered: what is usual needs no word, what tells two apart has one."""

from __future__ import annotations

import pytest
from report_rows import failed_row, make_row

from hqc_ray.report.content.attacks import attack_style, is_clean, is_transfer, shown
from hqc_ray.report.content.models import models
from hqc_ray.report.style import ATTACKS, MORE, differences, slug, strength_text


def model_of(*rows):
    """The model of the first row, among all of them."""
    return models(rows)(rows[0])


def shown_of(*rows):
    show = shown(rows)
    return [show(row) for row in rows]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "ResNet18"),
        ({"backbone": "my.module:Net"}, "my.module:Net"),
        ({"weights": "random"}, "ResNet18 (random weights)"),
        ({"image_size": 28}, "ResNet18 (at 28 px)"),
        ({"image_size": 96, "image_width": 120}, "ResNet18 (at 96 x 120 px)"),
        ({"weights": "random", "image_size": 28}, "ResNet18 (random weights, at 28 px)"),
    ],
)
def test_a_backbone_is_named_with_what_is_unusual(change, name):
    assert model_of(make_row(**change)).name == name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"head": "linear"}, "linear"),
        ({"head": "tanh"}, "tanh (4)"),
        ({}, "vqc1"),
        ({"layers": 3}, "vqc1 x3"),
        ({"reuploads": 2}, "vqc1 r2"),
        ({"embedding": "ry", "readout": "zz"}, "vqc1 (ry, readout zz)"),
        ({"train_device": "fake_lima"}, "vqc1, trained on fake_lima"),
    ],
)
def test_a_head_is_named_with_what_is_unusual(change, name):
    assert model_of(make_row(**change)).head_name == name


def test_options_of_a_head_are_told_only_beside_others():
    one, other = make_row(model_options='{"width": 3, "layers": 1}'), make_row(model_options='{"width": 5, "layers": 2}')
    assert model_of(one).settings == ()
    assert model_of(one, other).settings == (("model.width", "3"),)  # layers have their own place
    assert model_of(one, other | {"head": "vqc2"}).settings == ()


def test_settings_are_told_where_they_vary_in_the_order_of_the_file():
    rows = [make_row(train_epochs=e, evaluate_images=n, data_options=f'{{"split": "{s}"}}')
            for e, n, s in ((3, None, "a"), (30, 10, "b"), (30, None, "a"))]  # fmt: skip
    told = models(rows)
    assert told(rows[0]).settings == (("data.split", "a"), ("train.epochs", "3"), ("evaluate.images", "all"))
    assert told(rows[0]).full_head == "vqc1, train.epochs=3"
    assert told(rows[1]).images == "1,000 images, data.split=b, evaluate.images=10"
    assert len({told(row).place for row in rows}) == 2  # other images: another figure
    assert [told(r).settings[1][1] for r in sorted(rows, key=lambda r: told(r).order)] == ["3", "30", "30"]


def test_a_row_of_before_the_settings_stands_beside_others_as_unknown():
    old = make_row(train_epochs=None, data_options="", evaluate_images=None, device_options="")
    new, other = make_row(), make_row(train_epochs=3)
    assert models([old, new])(old).settings == ()  # one value is known: it is taken for that one's
    assert models([old, new, other])(old).settings == (("train.epochs", "?"),)


def test_repeats_of_a_sampled_device_do_not_vary_beside_an_exact_one():
    exact, sampled = make_row(), make_row(device="d[shots=9]", shots=9, evaluate_repeats=5)
    assert models([exact, sampled])(sampled).settings == ()
    assert models([sampled, sampled | {"evaluate_repeats": 50}])(sampled).settings == (("evaluate.repeats", "5"),)


def test_a_devices_options_are_told_only_where_its_label_does_not():
    one, other = ({"device": "mine", "device_options": f'{{"gain": {g}}}'} for g in (1, 2))
    assert model_of(make_row(**one), make_row(**other)).settings == (("device.gain", "1"),)
    assert model_of(make_row(**one), make_row(**other | {"device": "mine[gain=2]"})).settings == ()


def test_titles_stand_in_place_of_names():
    row = make_row(
        backbone="m:Net", head="m:Wave", backbone_title="WideNet", head_title="Waves", n_qubits=3, head_kind="classical"
    )
    assert (model_of(row).name, model_of(row).full_head) == ("WideNet", "Waves (3)")


def test_ten_classes_have_another_chance_and_are_told():
    ten = make_row(n_classes=10, class_names=str([str(i) for i in range(10)]).replace("'", '"'), data_source="idx")
    assert model_of(ten).chance == 10
    assert model_of(ten).data == "(idx, 10 classes)"
    assert model_of(make_row()).data == ""
    two = make_row(data_source="idx", class_names='["3", "8"]')
    assert (model_of(two).data, model_of(two).images) == ("(idx, 3 / 8)", "1,000 images (idx, 3 / 8)")


def test_tasks_of_one_source_are_told_apart():
    first, second = make_row(class_names='["3", "8"]'), make_row(class_names='["1", "7"]')
    assert model_of(first).task == ""
    assert model_of(first, second).task == "3 / 8"
    assert model_of(first, second | {"data_source": "idx"}).task == ""


def test_tasks_of_as_many_classes_do_not_share_a_figure():
    names = ('["0", "1", "2", "3"]', '["4", "5", "6", "7"]')
    four = [make_row(n_classes=4, data_source="idx", class_names=text) for text in names]
    assert [models(four)(row).task for row in four] == ["4 classes, 0 to 3", "4 classes, 4 to 7"]
    assert models(four)(four[0]).place != models(four)(four[1]).place


@pytest.mark.parametrize(
    "change",
    [
        {"data_source": "idx"},
        {"n_classes": 10},
        {"device_kind": "noisy"},
        {"shots": 100},
        {"weights": "random"},
        {"layers": 2},
        {"reuploads": 2},
        {"readout": "zz"},
        {"train_device": "fake_lima"},
    ],
)
def test_only_models_like_the_papers_are_compared_with_it(change):
    assert model_of(make_row()).in_table2
    assert not model_of(make_row(**change)).in_table2


def test_models_are_sorted_by_size_then_controls_then_circuits_by_number():
    rows = [make_row(head=h, data_size=n) for n in (2000, 1000) for h in ("vqc10", "vqc2", "mine", "tanh", "linear")]
    ordered = sorted((models(rows)(row) for row in rows), key=lambda m: m.order)
    assert [(m.data_size, m.head) for m in ordered[:5]] == [(1000, h) for h in ("linear", "tanh", "mine", "vqc2", "vqc10")]
    assert {m.data_size for m in ordered[5:]} == {2000}


def test_a_failed_cell_is_of_the_same_model_as_one_with_a_result():
    good, bad = make_row(), failed_row(attack="pgd")
    assert models([good, bad])(good) == models([good, bad])(bad)


def test_an_attack_is_named_by_what_tells_it_from_others():
    few, many = make_row("pgd", attack_options='{"steps": 10}'), make_row("pgd", attack_options='{"steps": 40}')
    ideal = few | {"access": "ideal"}
    assert shown_of(few)[0].plain
    assert [a.text for a in shown_of(few, many, ideal)] == ["PGD(steps=10)", "PGD(steps=40)", "PGD(steps=10) [ideal]"]
    assert not any(a.plain for a in shown_of(few, many, ideal))


def test_a_foreign_device_that_was_attacked_through_is_named():
    own = make_row("pgd", device="fake_lima")
    foreign = own | {"search_device": "default.qubit", "foreign_device": True}
    assert [a.text for a in shown_of(own, foreign)] == ["PGD", "PGD through default.qubit"]
    assert shown_of(own | {"search_device": "fake_lima[exact]"})[0].text == "PGD"  # its own twin without shots


def test_clean_is_a_control_at_epsilon_0_and_a_transfer_comes_from_another_model():
    assert is_clean(make_row("clean", 0.0))
    assert not is_clean(make_row("noise", 0.05))
    assert not is_clean(make_row("pgd", 0.0))
    assert not is_transfer(make_row())
    assert is_transfer(make_row(search_model_key="other"))


def test_attacks_stand_in_the_preferred_order_with_controls_last():
    attacks = shown_of(*(make_row(a) for a in ("noise", "zoo", "pgd", "apgd", "deepfool", "fgsm")))
    assert [a.name for a in sorted(attacks, key=lambda a: a.order)] == ["fgsm", "deepfool", "pgd", "apgd", "zoo", "noise"]


def test_a_users_attack_gets_the_next_free_style_and_variants_other_dashes():
    rows = [make_row("pgd", attack_options=f'{{"steps": {s}}}') for s in (10, 40)]
    styles = attack_style(shown_of(*rows, *(make_row(f"mine.{i}") for i in range(5))))
    by_text = {attack.text: style for attack, style in styles.items()}
    assert [by_text[f"PGD(steps={s})"] for s in (10, 40)] == [(*ATTACKS["pgd"], "-"), (*ATTACKS["pgd"], "--")]
    assert [by_text[f"mine.{i}"][0] for i in range(5)] == [*MORE, MORE[0]]
    assert styles == attack_style(reversed(list(styles)))


def test_differences_name_missing_options_of_the_other_and_no_shared_ones():
    assert differences(['{"a": 1, "b": 2}', '{"a": 1}']) == {'{"a": 1, "b": 2}': "b=2", '{"a": 1}': ""}


@pytest.mark.parametrize(
    ("epsilon", "level", "text"), [(4 / 255, "pixels", "4/255"), (4 / 255, "angles", "0.0157 rad"), (0.5, "features", "0.5 std")]
)
def test_strengths_have_the_unit_of_their_level(epsilon, level, text):
    assert strength_text(epsilon, level) == text


def test_file_names_hold_no_sign_that_a_system_refuses():
    assert slug("a/b:c", "", None, 0, "x[y]") == "a-b-c_0_x-y"


def test_a_long_name_is_cut_and_stays_another_name_than_its_neighbour():
    label = "qiskit.aer[" + ",".join(f"option_{i}=0.001" for i in range(30)) + "]"
    one, other = slug("heads", label, "linf"), slug("heads", label, "l2")
    assert len(one) == len(other) == 120
    assert one != other
    assert one.startswith("heads_qiskit.aer-option-0=0.001")
    assert slug("heads", label, "linf") == one


def test_the_order_of_members_tells_ensembles_apart():
    one, other = '{"members": {"a": {}, "b": {}}}', '{"members": {"b": {}, "a": {}}}'
    told = differences([one, other])
    assert told[one] != told[other]
    assert differences([one]) == {one: ""}


def test_an_option_that_a_head_does_not_have_is_no_part_of_its_name():
    rows = [make_row("pgd", 0.05, head="mlp", model_options=f'{{"hidden": {n}}}', model_key=f"{n}") for n in (4, 5)]
    rows.append(make_row("pgd", 0.05, head="vqc1"))
    told = models(rows)
    assert [told(row).full_head for row in rows] == ["mlp, model.hidden=4", "mlp, model.hidden=5", "vqc1"]
