"""Where robustness lives: distances, multiples and factors by hand, and what is drawn of them."""

from __future__ import annotations

import math

import pytest
from matplotlib.colors import to_hex
from report_rows import as_frame, make_row

from hqc_ray.report import Report
from hqc_ray.report.content.stages import distance, sentence, stages
from hqc_ray.report.figures.stages import where_robustness_lives

UNITS = {"pixels": "of [0, 1]", "features": "std", "angles": "radian"}


def rows(head, level, falls, norm="l2", device="default.qubit", clean=160, **more):
    """A row for each epsilon of `falls`, after which so many of the 160 right images are left."""
    same = {"head": head, "level": level, "norm": norm, "device": device, "clean": clean, "epsilon_unit": UNITS[level]} | more
    return [make_row("pgd", epsilon, robust=left, **same) for epsilon, left in falls.items()]


def lines(*given):
    return Report.of(as_frame([row for some in given for row in some])).lines


TANH = (
    rows("tanh", "pixels", {0.1: 120, 0.2: 40}),  # half at 0.15
    rows("tanh", "features", {0.5: 80, 1.0: 10}),  # half at 0.5
    rows("tanh", "angles", {0.4: 120, 0.8: 40}),  # half at 0.6
)
VQC1 = (
    rows("vqc1", "pixels", {0.1: 160, 0.2: 120, 0.4: 40}),  # 0.3: twice as far
    rows("vqc1", "features", {0.5: 40, 1.0: 10}),  # 0.3333: two thirds
    rows("vqc1", "angles", {0.4: 60, 0.8: 0}),  # 0.32: 0.5333
)


@pytest.mark.parametrize(
    ("points", "fallen", "expected"),
    [
        ([(0.1, 0.75), (0.2, 0.25)], 0.5, 0.15),
        ([(0.2, 0.25)], 0.5, 0.2 * 0.5 / 0.75),
        ([(0.1, 0.75), (0.2, 0.5)], 0.5, 0.2),
        ([(0.1, 0.75), (0.2, 0.6)], 0.4, 0.2),
        ([(0.1, 0.75), (0.2, 0.6)], 0.5, math.inf),
        ([(0.1, 0.4), (0.2, 0.9), (0.3, 0.2)], 0.5, 0.1 * 0.5 / 0.6),  # where it first falls
    ],
)
def test_a_distance_is_where_the_share_falls_between_the_epsilons(points, fallen, expected):
    found = distance([(e, share, share - 0.1, share + 0.1) for e, share in points], fallen)
    assert found.middle == pytest.approx(expected)
    assert found.low <= found.middle <= found.high
    assert found.least == min(expected, points[-1][0]) or not found.open


def test_each_stage_has_its_factor_and_they_multiply_to_what_the_pixels_show():
    (found,) = stages(lines(*TANH, *VQC1))
    (vqc1,) = found.models[1:]
    assert found.reference.head == "tanh"
    assert found.fallen == 0.5
    assert [level for level, _ in found.levels] == ["pixels", "features", "angles"]
    assert [found.multiple(vqc1, level) for level in found.levels] == pytest.approx([2, 2 / 3, 0.32 / 0.6])
    factors = {stage: factor for stage, (factor, _) in found.factors(vqc1).items()}
    assert factors == pytest.approx({"backbone": 3, "linear layer and tanh": 2 / 3 / (0.32 / 0.6), "circuit": 0.32 / 0.6})
    assert math.prod(factors.values()) == pytest.approx(2)
    assert sentence(found, vqc1) == (
        "vqc1 on default.qubit: 2.00 times as far as tanh (4) at pixels: backbone × 3.00, linear layer and tanh × 1.25, "
        "circuit × 0.53."
    )


def test_a_model_that_hardly_falls_is_at_least_so_far_and_the_reference_decides_the_share():
    strong = rows("vqc6", "pixels", {0.2: 150, 0.6: 140})
    (found,) = stages(lines(*TANH, strong, *(rows("vqc6", level, {0.5: 80}) for level in ("features", "angles"))))
    (vqc6,) = found.models[1:]
    assert found.distances[vqc6, ("pixels", "l2")].open
    assert found.multiple(vqc6, ("pixels", "l2")) == pytest.approx(4)
    assert found.factors(vqc6)["backbone"] == (pytest.approx(4), True)
    assert "at least 4.00 times as far" in sentence(found, vqc6)
    weak = (*TANH[:2], rows("tanh", "angles", {0.4: 150, 0.8: 102}))  # 36 % fall: 35 % are compared, at every level
    (found,) = stages(lines(*weak, *VQC1))
    assert found.fallen == 0.35
    assert found.distances[found.reference, ("pixels", "l2")].middle == pytest.approx(0.1 + 0.1 * 0.1 / 0.5)


def test_a_missing_level_joins_its_stage_to_the_next_one():
    (found,) = stages(lines(TANH[0], TANH[2], VQC1[0], VQC1[2]))
    (vqc1,) = found.models[1:]
    assert list(found.factors(vqc1)) == ["backbone + linear layer and tanh", "circuit"]


def test_nothing_is_compared_with_nothing():
    assert stages(lines(*VQC1)) == []  # one model
    assert stages(lines(TANH[0], VQC1[0])) == []  # one level
    assert stages(lines()) == [] == stages(lines([make_row("clean", 0.0)]))
    other = [row | {"data_size": 5000} for some in VQC1 for row in some]
    assert stages(lines(*TANH, other)) == []  # other images


def test_of_several_norms_the_one_of_most_models_counts_and_a_linear_head_is_no_reference_of_angles():
    linear = rows("linear", "pixels", {0.1: 120, 0.2: 40})
    (found,) = stages(lines(*TANH, *VQC1, linear, rows("vqc1", "pixels", {0.01: 3}, norm="linf")))
    assert found.levels[0] == ("pixels", "l2")
    assert found.reference.head == "tanh"
    assert [model.head for model in found.models] == ["tanh", "linear", "vqc1"]


def test_the_chart_has_a_panel_for_each_level_and_the_multiples():
    ((name, figure),) = where_robustness_lives(lines(*TANH, *VQC1))
    assert name == "levels_pcam_1000_resnet18_imagenet"
    assert [ax.get_title() for ax in figure.axes] == [
        "attacked at pixels (L2)\n1 = 0.15", "attacked at features (L2)\n1 = 0.5 std", "attacked at angles (L2)\n1 = 0.6 rad",
        "where 50% fall,\nas a multiple of tanh (4)",
    ]  # fmt: skip
    curves = {to_hex(line.get_color()): line for line in figure.axes[0].lines if len(line.get_xdata()) > 2}
    (tanh, vqc1) = curves.values()
    assert list(tanh.get_xdata()) == pytest.approx([0, 0.1 / 0.15, 0.2 / 0.15])
    assert list(vqc1.get_ydata()) == pytest.approx([100, 100, 75, 25])
    multiples = [list(line.get_ydata()) for line in figure.axes[3].lines if len(line.get_ydata()) == 3]
    assert multiples[1] == pytest.approx([2, 2 / 3, 0.32 / 0.6])
    assert [text.get_text().partition(":")[0] for text in figure.legends[0].get_texts()][:2] == [
        "tanh (4)",
        "vqc1 on default.qubit",
    ]


def test_flagged_points_are_hollow_and_many_models_go_over_pages():
    flagged = rows("vqc1", "features", {0.5: 40, 1.0: 100}, attack_kind="budget")  # rises with epsilon
    ((_, figure),) = where_robustness_lives(lines(*TANH, VQC1[0], flagged))
    points = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 1]
    assert [to_hex(p.get_markerfacecolor()) for p in points].count("#ffffff") == 1
    many = [some for i in range(1, 9) for level in ("pixels", "angles") for some in [rows(f"sim{i}", level, {0.2: 60})]]
    names = [name for name, _ in where_robustness_lives(lines(*TANH, *many))]
    assert names == [f"levels_pcam_1000_resnet18_imagenet_{page}" for page in (1, 2)]


def test_a_page_whose_models_were_not_attacked_at_a_level_is_drawn_too():
    many = [rows(f"sim{i}", "pixels", {0.2: 60}) for i in range(1, 9)]
    names = [name for name, _ in where_robustness_lives(lines(TANH[0], TANH[2], VQC1[0], VQC1[1], *many))]
    assert len(names) == 2
