"""What is drawn, read back from the artists."""

from __future__ import annotations

import itertools
import json

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from report_rows import EPSILONS, as_frame, failed_row, make_row, sweep_rows, transferred, write_examples

from hqc_ray.report import Report, style
from hqc_ray.report.content import examples
from hqc_ray.report.content.attacks import Shown, attack_style
from hqc_ray.report.figures import accuracy, heatmaps, patches

NOISY = "qiskit.aer[fake_manila,shots=4096]"


def drawn(family, rows):
    return dict(family(Report.of(rows).lines))


def curve(ax, colour):
    """The (x, y) of the line in that colour, without its markers and the paper's crosses."""
    (line,) = [line for line in ax.lines if to_hex(line.get_color()) == colour.lower() and line.get_linestyle() != "None"]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_panels_and_curves(sweep):
    (name, figure), = drawn(accuracy.accuracy, sweep).items()  # fmt: skip
    assert name == "accuracy_pcam_1000_resnet18_imagenet_linf"
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [
        "linear (classical)",
        "tanh (4) (classical)",
        "vqc1, 4 qubits\ndefault.qubit",
        "vqc6, 4 qubits\ndefault.qubit",
    ]
    x, y = curve(figure.axes[2], style.VERMILLION)
    means = sweep[(sweep["head"] == "vqc1") & (sweep["attack"] == "pgd")].groupby("epsilon")["robust_accuracy"].mean() * 100
    np.testing.assert_allclose(x, [0, *EPSILONS])
    np.testing.assert_allclose(y[1:], means)
    assert y[0] == pytest.approx(88.5)  # the clean accuracy
    assert len(figure.axes[2].collections) == 4  # a band each
    assert legend(figure) == ["FGSM", "DeepFool", "PGD", "Noise", "clean", "the paper's"]


def test_a_band_from_the_certified_share_to_the_worst_case():
    """The truth lies between what nothing can break and what the strongest attack has left."""
    given = [
        make_row(attack, epsilon, level="angles", epsilon_unit="radian", robust=robust, certified_accuracy=share, head=head)
        for head in ("vqc1", "tanh")
        for epsilon, share in ((0.1, 0.8), (0.3, 0.4))
        for attack, robust in (("pgd", 170 if epsilon < 0.2 else 90), ("fgsm", 172))
    ]
    (figure,) = drawn(accuracy.accuracy, as_frame(given)).values()
    (band,) = [c for c in figure.axes[1].collections if c.get_gid() == "certified"]
    corners = {tuple(point) for point in np.round(band.get_paths()[0].vertices, 9).tolist()}
    assert corners == {(0.1, 80.0), (0.1, 85.0), (0.3, 40.0), (0.3, 45.0)}
    assert "certified to worst case" in legend(figure)
    (without,) = drawn(accuracy.accuracy, as_frame([row | {"certified_accuracy": None} for row in given])).values()
    assert not [c for ax in without.axes for c in ax.collections if c.get_gid() == "certified"]
    assert "certified to worst case" not in legend(without)


def test_flagged_points_are_hollow_and_in_the_legend(suspect, sweep):
    (figure,) = drawn(accuracy.accuracy, suspect).values()
    hollow = [line for line in figure.axes[0].lines if line.get_gid() == "flagged"]
    assert [list(line.get_xdata()) for line in hollow] == [[0.15, 0.25]]
    assert to_hex(hollow[0].get_markerfacecolor()) == "#ffffff"
    assert "flagged by the audit" in legend(figure)
    (clean,) = drawn(accuracy.accuracy, sweep).values()
    assert not [line for ax in clean.axes for line in ax.lines if line.get_gid() == "flagged"]


def test_the_papers_numbers_are_crosses_in_the_attacks_colour(suspect):
    (figure,) = drawn(accuracy.accuracy, suspect).values()
    crosses = {to_hex(line.get_color()): list(line.get_ydata()) for line in figure.axes[0].lines if line.get_marker() == "x"}
    assert crosses[style.SKY.lower()] == [50.94, 69.69, 77.75]
    assert len(crosses) == 3


def test_many_models_go_over_pages():
    rows = as_frame(sweep_rows(heads=("linear", *(f"sim{i}" for i in range(1, 20))), seeds=(0,)))
    pages = drawn(accuracy.accuracy, rows)
    assert [len(f.axes) for f in pages.values()] == [9, 9, 2]
    assert [n.rpartition("_")[2] for n in pages] == ["1", "2", "3"]
    heads = drawn(accuracy.heads, rows)
    assert [len([t for t in legend(f) if t.startswith("sim")]) for f in heads.values()] == [6, 6, 6, 1]
    assert all("linear (classical)" in legend(f) for f in heads.values())


def test_small_epsilons_stay_readable():
    epsilons = (1 / 255, 2 / 255, 4 / 255, 8 / 255, 0.05, 0.1, 0.15, 0.25)
    (figure,) = drawn(accuracy.accuracy, as_frame(sweep_rows(heads=("vqc1",), seeds=(0,), epsilons=epsilons))).values()
    ax = figure.axes[0]
    assert ax.get_xscale() == "symlog"
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
    boxes.sort(key=lambda b: b.x0)
    assert len(boxes) >= 4
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    (linear,) = drawn(accuracy.accuracy, as_frame(sweep_rows(heads=("vqc1",), seeds=(0,)))).values()
    assert linear.axes[0].get_xscale() == "linear"


def test_long_devices_stand_beside_each_other_and_are_broken_at_commas():
    devices = [f"qiskit.aer[fake_jakarta,noise_scale={n},idle,mitigation=readout+zne(1/1.5/2),shots=4096]" for n in (1, 2, 3)]
    with mpl.rc_context(accuracy.RC):
        (figure,) = drawn(accuracy.accuracy, as_frame(sweep_rows(heads=("vqc1",), devices=devices, seeds=(0,)))).values()
        figure.canvas.draw()
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    lines = figure.axes[2].get_title().split("\n")[1:]
    assert "".join(lines) == devices[2]
    assert all(line.endswith(",") for line in lines[:-1])


def test_a_control_of_two_widths_is_two_curves_that_can_be_told_apart():
    rows = [make_row(a, e, robust=90 - 5 * q, head="tanh", n_qubits=q, model_key=f"w{q}", key=f"{a}{e}{q}")
            for a in ("fgsm", "pgd") for e in EPSILONS for q in (4, 7)]  # fmt: skip
    (figure,) = drawn(accuracy.heads, as_frame([*rows, *sweep_rows(heads=("vqc1",), seeds=(0,))])).values()
    handles = figure.legends[0].legend_handles
    told = [(h.get_label(), h.get_marker(), to_hex(h.get_color())) for h in handles if h.get_label().startswith("tanh")]
    assert [label for label, _, _ in told] == ["tanh (4) (classical)", "tanh (7) (classical)"]
    assert told[0][1] != told[1][1]
    assert told[0][2] == told[1][2] == style.GREY.lower()


def test_heads_stand_side_by_side_for_each_device():
    rows = as_frame(sweep_rows(devices=("default.qubit", NOISY)))
    found = drawn(accuracy.heads, rows)
    assert len(found) == 2
    for figure in found.values():
        assert [ax.get_title() for ax in figure.axes] == ["FGSM", "DeepFool", "PGD", "Noise"]
        assert legend(figure) == ["linear (classical)", "tanh (4) (classical)", "vqc1, 4 qubits", "vqc6, 4 qubits"]
    ideal, noisy = (curve(f.axes[2], style.VERMILLION)[1] for f in found.values())
    assert not np.allclose(ideal, noisy)


def test_one_head_has_nobody_to_stand_beside():
    assert drawn(accuracy.heads, as_frame(sweep_rows(heads=("vqc1",)))) == {}


def test_norms_have_their_own_axis():
    rows = as_frame([make_row("pgd", 0.05, robust=9), make_row("pgd", 2.0, robust=9, norm="l2", attack_options='{"norm": "l2"}')])
    found = drawn(accuracy.accuracy, rows)
    assert [n.rpartition("_")[2] for n in found] == ["linf", "l2"]
    assert [f.axes[-1].get_xlabel() for f in found.values()] == [f"epsilon ({n}, pixels in [0, 1])" for n in ("L∞", "L2")]


def test_failed_and_clean_cells_draw_nothing():
    rows = as_frame([failed_row(attack="pgd"), make_row("clean", 0.0, head="vqc2")])
    assert drawn(accuracy.accuracy, rows) == drawn(accuracy.heads, rows) == {}


def test_levels_have_their_own_axis_with_its_unit():
    units = {"pixels": "pixel", "features": "standardised feature", "angles": "radian"}
    rows = [make_row("pgd", e, robust=9, level=level, epsilon_unit=unit) for level, unit in units.items() for e in (0.1, 1 / 255)]
    found = drawn(accuracy.accuracy, as_frame(rows))
    assert [n.removeprefix("accuracy_pcam_1000_resnet18_imagenet_") for n in found] == ["linf", "features_linf", "angles_linf"]
    assert [f.axes[-1].get_xlabel() for f in found.values()] == [
        "epsilon (L∞, pixels in [0, 1])", "epsilon (L∞, features, standardised feature)", "epsilon (L∞, angles, radian)",
    ]  # fmt: skip
    ticks = [[t.get_text() for t in f.axes[-1].get_xticklabels()] for f in found.values()]
    assert ["1/255" in its for its in ticks] == [True, False, False]


@pytest.mark.parametrize(("classes", "chance"), [(2, 50), (10, 10)])
def test_chance_is_drawn_where_it_is(classes, chance):
    names = json.dumps([f"c{i}" for i in range(classes)])
    rows = as_frame([make_row("pgd", 0.05, robust=9, n_classes=classes, class_names=names)])
    (figure,) = drawn(accuracy.accuracy, rows).values()
    level = {line.get_ydata()[0] for line in figure.axes[0].lines if list(line.get_xdata()) == [0, 1]}  # all along the axis
    assert level == {chance, 88.0}  # the other one is the clean accuracy


def shown(name, title, control=False, **more):
    return Shown(name, title, control, **more)


def test_an_attack_keeps_its_colour_and_its_variants_their_dashes():
    pgd, more, ideal = shown("pgd", "PGD"), shown("pgd", "PGD", options="steps=40"), shown("pgd", "PGD", access="ideal")
    every = [shown("mine", "Mine"), more, ideal, shown("fgsm", "FGSM"), pgd, shown("noise", "Noise", control=True)]
    alone, all_of_them = attack_style([pgd]), attack_style(every)
    assert alone[pgd] == all_of_them[pgd]
    assert len({all_of_them[a][0] for a in (pgd, more, ideal)}) == 1
    assert len({all_of_them[a][2] for a in (pgd, more, ideal)}) == 3
    assert len({c for c, _, _ in all_of_them.values()}) == 4
    assert [a.text for a in all_of_them] == ["FGSM", "PGD", "PGD [ideal]", "PGD(steps=40)", "Mine", "Noise"]


def test_every_control_stands_behind_every_attack_whatever_its_name():
    styles = attack_style([shown("blur", "Blur", control=True), shown("zoo", "Zoo"), shown("noise", "Noise", control=True)])
    assert [a.text for a in styles] == ["Zoo", "Noise", "Blur"]
    assert len({colour for colour, _, _ in styles.values()}) == 3


def test_a_heads_kind_decides_its_style_not_its_name():
    heads = [("linear", False), ("pkg:Mine", False), ("linear", True)]
    (linear, _, dots), (mine, _, dashes), (circuit, _, solid) = style.head_style(heads)
    assert linear == style.BLACK
    assert mine == "#3C3C3C"
    assert circuit == style.VERMILLION
    assert dots == ":"
    assert dashes != solid == "-"
    again = style.head_style([("pkg:Mine", False)] * 3)
    assert len({marker for _, marker, _ in again}) == 3


def heatmap(rows):
    return dict(heatmaps.transfers(Report.of(as_frame(rows)).transfers))


def test_transfers_are_drawn_as_a_matrix_for_each_attack_and_epsilon():
    own = [make_row("pgd", e, robust=r, head=h) for h, r in (("tanh", 40), ("vqc1", 100)) for e in (0.05, 4 / 255)]
    rows = [*own, transferred(own[2], own[0], 60), transferred(own[3], own[1], 90, epsilon=4 / 255)]
    (name, figure), = heatmap(rows).items()  # fmt: skip
    assert name == "transfer_pcam_1000_resnet18_imagenet_linf"
    assert [ax.get_title() for ax in figure.axes] == ["PGD, ε = 4/255 (L∞)", "PGD, ε = 0.05 (L∞)"]
    ax = figure.axes[1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["tanh (4)", "vqc1"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["tanh (4)", "vqc1"]
    means, intervals = ([(t.get_position(), t.get_text()) for t in ax.texts[i::2]] for i in (0, 1))
    assert means == [((0, -0.1), "20"), ((1, -0.1), "30!"), ((1, 0.9), "50!")]
    assert intervals == [((0, 0.26), "15-26"), ((1, 0.26), "24-37"), ((1, 1.26), "43-57")]  # Wilson of 200 images
    np.testing.assert_allclose(np.ma.filled(ax.images[0].get_array(), np.nan), [[20, 30], [np.nan, 50]])
    framed = sorted((round(p.get_x()), round(p.get_y())) for p in ax.patches)
    assert framed == [(0, 0), (1, 1)]
    assert heatmap(own) == {}


def test_matrices_go_over_pages_and_levels_stand_apart():
    own = [make_row("pgd", e / 100, robust=40, head=h) for h in ("tanh", "vqc1") for e in range(1, 11)]
    rows = [*own, *(transferred(own[10 + i], own[i], 60, epsilon=own[i]["epsilon"]) for i in range(10))]
    features = make_row("pgd", 0.5, robust=9, head="tanh", level="features")
    rows += [features, transferred(own[10], features, 8, epsilon=0.5, level="features")]
    found = heatmap(rows)
    assert [(name.removeprefix("transfer_pcam_1000_resnet18_imagenet_"), len(f.axes)) for name, f in found.items()] == [
        ("linf_1", 9), ("linf_2", 1), ("features_linf", 1),
    ]  # fmt: skip
    assert found["transfer_pcam_1000_resnet18_imagenet_features_linf"].axes[0].get_title() == "PGD, ε = 0.5 std (L∞)"


def test_large_matrices_stay_readable_on_a_page():
    heads = [f"sim{i}" for i in range(1, 16)]
    own = {(h, e): make_row("pgd", e, robust=40, head=h) for h in heads for e in (0.01, 0.02, 0.03)}
    rows = [*own.values(), *(transferred(own[j, e], own[f, e], 90, epsilon=e, key=f"{f}{j}{e}")
                             for f in heads for j in heads for e in (0.01, 0.02, 0.03) if f != j)]  # fmt: skip
    figures = heatmap(rows).values()
    assert [len(figure.axes) for figure in figures] == [1, 1, 1]
    for figure in figures:
        assert max(figure.get_size_inches()) < 14
        assert len(figure.axes[0].texts) == 2 * 15 * 15


WRITTEN = [(0.05, "0.05"), (1 / 255, "1/255"), (0.5 / 255, "0.5/255"), (8 / 255, "8/255"), (0.2, "0.2"), (0.12345, "0.123")]


@pytest.mark.parametrize(("epsilon", "text"), WRITTEN)
def test_epsilon_is_written_as_the_field_does(epsilon, text):
    assert style.epsilon_text(epsilon) == text


def patch_figures(folder, rows):
    kept = examples.kept(Report.of(as_frame(rows)), folder)
    return {name: figure for name, figure, _ in patches.patches(kept)}


def test_patches_show_what_the_examples_hold(tmp_path):
    rows = write_examples(tmp_path, [make_row("fgsm", 0.05, robust=0), make_row("pgd", 0.15, robust=0), make_row("clean", 0.0)])
    (name, figure), = patch_figures(tmp_path, rows).items()  # fmt: skip
    assert name == "patches_pcam_1000_resnet18_imagenet_vqc1_default.qubit_linf"
    assert len(figure.axes) == 3 * 4  # clean, perturbation, adversarial x (two attacks x an image of each class)
    axes = np.array(figure.axes).reshape(3, 4)
    pictures = [[ax.images[0].get_array() for ax in row] for row in axes]
    assert pictures[0][0].shape == (20, 24, 3)
    with np.load(tmp_path / rows[0]["example"]) as example:
        clean, adversarial = (example[k].astype(np.float32) for k in ("clean", "adversarial"))
        image = int(np.flatnonzero((clean.transpose(0, 2, 3, 1) == pictures[0][0]).all((1, 2, 3)))[0])
        change = adversarial[image] - clean[image]
        np.testing.assert_allclose(pictures[2][0], adversarial[image].transpose(1, 2, 0))
        expected = np.clip(0.5 + patches.gain(change) * change, 0, 1)
        np.testing.assert_allclose(pictures[1][0], expected.transpose(1, 2, 0), atol=1e-6)
        assert axes[1, 0].get_xlabel() == f"× {patches.gain(change)}"
    assert axes[0, 0].get_title() == "normal"
    assert axes[2, 0].get_title() == "tumour ×"  # every image is fooled at robust accuracy 0
    assert to_hex(axes[2, 0].spines["top"].get_edgecolor()) == style.VERMILLION.lower()
    assert to_hex(axes[0, 0].spines["top"].get_edgecolor()) == style.BLUE.lower()


def test_patches_name_the_classes_of_the_data_and_a_prediction_that_is_none(tmp_path):
    names = [f"digit {i}" for i in range(10)]
    row = make_row("pgd", 0.05, robust=0, n_classes=10, class_names=json.dumps(names))
    (row,) = write_examples(tmp_path, [row], k=10, classes=10)
    (figure,) = patch_figures(tmp_path, [row]).values()
    axes = np.array(figure.axes).reshape(3, 2)
    assert [ax.get_title() for ax in axes[0]] == ["digit 0", "digit 1"]
    assert [ax.get_title() for ax in axes[2]] == ["digit 1 ×", "digit 2 ×"]
    path = tmp_path / row["example"]
    with np.load(path) as old:
        arrays = dict(old)
    arrays["prediction"] = arrays["labels"].copy()
    arrays["prediction"][[6, 8]] = -1, 3  # two images are fooled: these are shown
    np.savez(path, **arrays)
    (figure,) = patch_figures(tmp_path, [row]).values()
    axes = np.array(figure.axes).reshape(3, 2)
    assert [ax.get_title() for ax in axes[2]] == ["no class ×", "digit 3 ×"]


@pytest.mark.parametrize("change", [{"level": "features"}, {"level": "angles"}, {"search_model_key": "another"}])
def test_only_attacks_on_a_models_own_pixels_have_patches(tmp_path, change):
    rows = write_examples(tmp_path, [make_row("pgd", 0.05, robust=0, **change), make_row("clean", 0.0)])
    assert patch_figures(tmp_path, rows) == {}


def test_columns_are_limited_and_keep_the_strongest(tmp_path):
    rows = write_examples(tmp_path, sweep_rows(heads=("vqc1",), seeds=(0,), epsilons=(0.01, 0.02, 0.05, 0.1, 0.25)))
    (figure,) = patch_figures(tmp_path, rows).values()
    heads = [t.get_text() for ax in figure.axes for t in ax.texts]
    assert heads == [f"{a}\nε = {e}" for a in ("FGSM", "DeepFool", "PGD", "Noise") for e in ("0.01", "0.25")]


def test_the_image_shown_is_right_at_first_and_fooled_by_most(tmp_path):
    a, b = write_examples(tmp_path, [make_row(a, 0.05, robust=9) for a in ("fgsm", "pgd")])
    labels, wrong_at_first = np.array([0, 0, 0, 1, 1]), np.array([1, 0, 0, 1, 1])
    for row, fooled in ((a, [1, 1, 0, 0, 0]), (b, [1, 0, 1, 0, 1])):
        path = tmp_path / row["example"]
        with np.load(path) as old:
            arrays = dict(old)
        prediction = np.where(np.array(fooled, dtype=bool), 1 - labels, labels)
        prediction[2] = 1  # the third image is fooled by both, the last one by PGD alone
        np.savez(path, **arrays | {"labels": labels, "clean_prediction": wrong_at_first, "prediction": prediction})
    (figure,) = patch_figures(tmp_path, [a, b]).values()
    titles = [ax.get_title() for ax in np.array(figure.axes).reshape(3, 4)[2]]
    assert titles == ["tumour ×", "tumour ×", "tumour", "normal ×"]
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, arrays["clean"][2].astype(np.float32).transpose(1, 2, 0))


@pytest.mark.parametrize(("largest", "factor"), [(0.05, 10), (0.25, 2), (0.5, 1), (1.0, 1), (1 / 255, 100), (0.0, 1)])
def test_gain_stays_within_the_grey_scale(largest, factor):
    assert patches.gain(np.array([[-largest, largest / 3]], dtype=np.float32)) == factor


def test_missing_and_broken_examples_are_skipped_with_a_warning(tmp_path):
    good, gone, broken = write_examples(tmp_path, [make_row(a, 0.05, robust=9) for a in ("fgsm", "pgd", "deepfool")])
    (tmp_path / gone["example"]).unlink()
    (tmp_path / broken["example"]).write_bytes(b"PK\x03\x04 half a file")
    with pytest.warns(UserWarning, match="2 examples are missing or damaged") as caught:
        (figure,) = patch_figures(tmp_path, [good, gone, broken]).values()
    assert len(caught) == 1, [str(w.message) for w in caught]
    assert [t.get_text() for ax in figure.axes for t in ax.texts] == ["FGSM\nε = 0.05"] * 2


def test_what_varies_has_its_own_curve_or_its_own_figure():
    """Training in the legend and over the panel; other images in another figure."""
    rows = [make_row("pgd", 0.05, robust=90, train_epochs=e, evaluate_images=n, key=f"{e}{n}", model_key=str(e))
            for e in (3, 30) for n in (10, 40)]  # fmt: skip
    heads = drawn(accuracy.heads, as_frame(rows))
    assert [legend(f)[:2] for f in heads.values()] == [["vqc1, 4 qubits, train.epochs=3", "vqc1, 4 qubits, train.epochs=30"]] * 2
    assert [name.partition("evaluate.")[2] for name in heads] == ["images=10_default.qubit_linf", "images=40_default.qubit_linf"]
    panels = drawn(accuracy.accuracy, as_frame(rows))
    assert [[ax.get_title() for ax in f.axes] for f in panels.values()] == [
        [f"vqc1, 4 qubits, train.epochs={e}\ndefault.qubit" for e in (3, 30)]
    ] * 2
    assert "evaluate.images=10" in next(iter(panels.values())).get_suptitle()
