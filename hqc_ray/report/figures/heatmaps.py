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

PANELS = 9  # of one figure, fewer where they are large: a figure must be readable on a page
WIDTH, HEIGHT = 11.0, 13.0  # of one figure's panels, in inches
COLOURS = "GnBu"  # dark: many images stay right
SQUARE, LETTER = 0.44, 0.065  # of a value, of a name's letter, in inches


def transfers(matrices: Sequence[Matrix]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each data, backbone, level and norm: a panel for each attack and epsilon."""
    groups: dict[tuple[object, ...], list[Matrix]] = {}
    for matrix in matrices:
        level = "" if matrix.ball.level == "pixels" else matrix.ball.level
        groups.setdefault((*matrix.model.place, level, matrix.ball.norm), []).append(matrix)
    for place, its in groups.items():
        wide, high = _largest(its)
        columns = max(1, min(3, int(WIDTH / (SQUARE * wide + 0.15))))
        for page, chosen in pages(its, min(PANELS, columns * max(1, int(HEIGHT / (SQUARE * high + 0.4))))):
            yield slug("transfer", *place, page), _figure(chosen, min(columns, len(chosen)))


def _largest(matrices: Sequence[Matrix]) -> tuple[int, int]:
    """The most judges and the most attacked models of a matrix."""
    return max(len(m.judges) for m in matrices), max(len(m.found_on) for m in matrices)


def _figure(matrices: Sequence[Matrix], columns: int) -> Figure:
    rows = math.ceil(len(matrices) / columns)
    wide, high = _largest(matrices)
    names = LETTER * max(len(line) for m in matrices for name in (*m.found_on, *m.judges) for line in _wrapped(name).split("\n"))
    size = (max(columns * (SQUARE * wide + 0.15) + names + 0.4, 4.6), rows * (SQUARE * high + 0.4) + names + 0.9)
    figure = Figure(figsize=size)
    model = matrices[0].model
    title = f"{model.name}, {model.images}"
    figure.suptitle(f"Robust accuracy under transferred attacks, % (95 % interval)\n{title}", fontweight="bold")
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
            colour = "white" if value.mean > 80 else BLACK  # whichever stands out more
            ax.text(j, f - 0.1, text, ha="center", va="center", fontsize=7.5, color=colour)
            if value.seeds:
                ax.text(j, f + 0.26, f"{value.low:.0f}-{value.high:.0f}", ha="center", va="center", fontsize=5.5, color=colour)
            if (f, j) in matrix.own:
                ax.add_patch(Rectangle((j - 0.47, f - 0.47), 0.94, 0.94, fill=False, edgecolor=BLACK, linewidth=1.2))
