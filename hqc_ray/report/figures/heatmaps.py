"""Transferred attacks as pictures: which model an attack was found on, against the model that judged it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hqc_ray.report.content.transfers import Matrix
from hqc_ray.report.figures.accuracy import pages
from hqc_ray.report.style import BLACK, norm_text, slug, strength_text

PANELS = 9  # of one figure
COLOURS = "GnBu"  # dark: many images stay right
SQUARE, LETTER = 0.42, 0.065  # of a value, of a name's letter, in inches


def transfers(matrices: Sequence[Matrix]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each data, backbone, level and norm: a panel for each attack and epsilon."""
    groups: dict[tuple[object, ...], list[Matrix]] = {}
    for matrix in matrices:
        level = "" if matrix.ball.level == "pixels" else matrix.ball.level
        groups.setdefault((*matrix.model.place, level, matrix.ball.norm), []).append(matrix)
    for place, its in groups.items():
        for page, chosen in pages(its, PANELS):
            yield slug("transfer", *place, page), _figure(chosen)


def _figure(matrices: Sequence[Matrix]) -> Figure:
    columns = min(len(matrices), 3)
    rows = math.ceil(len(matrices) / columns)
    wide, high = (max(len(getattr(m, side)) for m in matrices) for side in ("judges", "found_on"))
    names = LETTER * max(len(line) for m in matrices for name in (*m.found_on, *m.judges) for line in _wrapped(name).split("\n"))
    size = (max(columns * (SQUARE * wide + 0.15) + names + 0.4, 4.6), rows * (SQUARE * high + 0.4) + names + 0.9)
    figure = Figure(figsize=size)
    model = matrices[0].model
    title = f"{model.name}, {model.images}"
    figure.suptitle(f"Robust accuracy under transferred attacks, %\n{title}", fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, ax in enumerate(axes.flat):
        if i < len(matrices):
            _panel(ax, matrices[i], left=i % columns == 0, bottom=i + columns >= len(matrices))
        else:
            ax.remove()
    figure.supxlabel("judged by   (framed: the model itself was attacked; !: flagged by the audit)", fontsize=8)
    figure.supylabel("found on", fontsize=8)
    return figure


def _wrapped(name: str) -> str:
    """A long name on several lines, its words whole unless it would be too long for any figure."""
    return textwrap.fill(name, 20, break_long_words=len(name) > 60)


def _panel(ax: Axes, matrix: Matrix, left: bool, bottom: bool) -> None:
    means = [[value.mean if value else math.nan for value in line] for line in matrix.values]
    ax.imshow(means, cmap=COLOURS, vmin=0, vmax=100)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ball = matrix.ball
    ax.set_title(f"{matrix.attack.text}, ε = {strength_text(ball.epsilon, ball.level)} ({norm_text(ball.norm)})")
    ax.set_xticks(range(len(matrix.judges)), map(_wrapped, matrix.judges if bottom else []), rotation=90)
    ax.set_yticks(range(len(matrix.found_on)), map(_wrapped, matrix.found_on if left else []))
    ax.tick_params(length=0)
    for f, line in enumerate(matrix.values):
        for j, value in enumerate(line):
            if value is None:
                continue
            text = "failed" if math.isnan(value.mean) else f"{value.mean:.0f}{'!' if value.flags else ''}"
            ax.text(j, f, text, ha="center", va="center", fontsize=7.5, color="white" if value.mean > 60 else BLACK)
            if (f, j) in matrix.own:
                ax.add_patch(Rectangle((j - 0.47, f - 0.47), 0.94, 0.94, fill=False, edgecolor=BLACK, linewidth=1.2))
