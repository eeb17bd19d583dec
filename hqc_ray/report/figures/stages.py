"""Where robustness lives, as one chart: each level's curves on an axis without a unit, and the multiples side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from hqc_ray.report.content.attacks import Style
from hqc_ray.report.content.lines import Line
from hqc_ray.report.content.models import Model
from hqc_ray.report.content.stages import Level, Stages, label, sentence, shares, stages
from hqc_ray.report.figures.accuracy import pages
from hqc_ray.report.style import BLACK, head_style, norm_text, slug, strength_text, wrapped

OTHERS = 6  # models beside the reference, of one figure
TEXT = 40  # characters of a sentence below each panel
HOLLOW = "hollow: every attack there is flagged; with an arrow: at least, since too few fall at the largest epsilon"
_SYMBOL: dict[str, Any] = {"color": "#555555", "linestyle": "", "markeredgewidth": 1.2}


def where_robustness_lives(lines: Sequence[Line]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each data set and backbone that was attacked at several levels; see `content.stages`."""
    for found in stages(lines):
        for page, chosen in pages(found.models[1:], OTHERS):
            yield slug("levels", *found.reference.place, page), _figure(found, chosen)


def _figure(found: Stages, others: Sequence[Model]) -> Figure:
    models = [found.reference, *others]
    styles: dict[Model, Style] = dict(zip(models, head_style([(m.head, m.hybrid) for m in models]), strict=True))
    n = len(found.levels) + 1
    figure = Figure(figsize=(2.9 * n, 3.3 + 0.18 * len(models)))
    title = f"{found.reference.name}, {found.reference.images}"
    figure.suptitle(f"Which stage holds an attack back?\n{title}", fontweight="bold")
    axes = list(figure.subplots(1, n, squeeze=False).flat)
    for ax, level in zip(axes, found.levels, strict=False):
        _curves(ax, found, level, styles)
    axes[0].set_ylabel("right images that stay right, %")
    _multiples(axes[-1], found, styles)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle=dashes, label=_said(found, model, n))
        for model, (colour, marker, dashes) in styles.items()
    ]
    handles.append(Line2D([], [], marker="o", markerfacecolor="white", label=HOLLOW, **_SYMBOL))
    figure.legend(handles=handles, loc="outside lower center", ncols=1, handlelength=2.4)
    return figure


def _said(found: Stages, model: Model, panels: int) -> str:
    if model == found.reference:
        return f"{label(model)}: the reference"
    return wrapped(sentence(found, model), TEXT * panels)


def _curves(ax: Axes, found: Stages, level: Level, styles: Mapping[Model, Style]) -> None:
    """A level: worst case of its attacks against epsilon, as a multiple of where half of the reference's right images fall."""
    its = found.distances.get((found.reference, level))
    unit = its.least if its else 1.0
    ax.set_title(f"attacked at {level[0]} ({norm_text(level[1])})\n1 = {strength_text(unit, level[0])}")
    ax.axhline(100 * (1 - found.fallen), color="#B5B5B5", linewidth=0.8, linestyle=(0, (1, 2)))
    for model, (colour, marker, dashes) in styles.items():
        lines = found.curves.get((model, level), ())
        points = shares(lines)
        if not points:
            continue
        x = [0.0, *(point[0] / unit for point in points)]
        middle, low, high = ([100.0, *(100 * point[i] for point in points)] for i in (1, 2, 3))
        ax.plot(x, middle, color=colour, linestyle=dashes, zorder=3)
        ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0, zorder=2)
        for place, share, line in zip(x[1:], middle[1:], lines, strict=True):
            flagged = bool(line.attacks) and all(value.flags for value in line.attacks.values())
            ax.plot([place], [share], marker, color=colour, markerfacecolor="white" if flagged else colour, zorder=4)
    ax.set_ylim(0, 103)
    reached = [one.least / unit for (model, of), one in found.distances.items() if of == level and model in styles]
    ax.set_xlim(0, max([2.0, *(1.2 * one for one in reached)]))
    ax.set_xlabel(f"epsilon / where {found.fallen:.0%} of {label(found.reference)} fall")


def _multiples(ax: Axes, found: Stages, styles: Mapping[Model, Style]) -> None:
    """The multiples of all models, level by level: a line that rises towards the pixels rises in the stage between."""
    ax.set_title(f"where {found.fallen:.0%} fall,\nas a multiple of {label(found.reference)}")
    places = range(len(found.levels))
    for k, (model, (colour, marker, dashes)) in enumerate(styles.items()):
        shift = 0.06 * (k - (len(styles) - 1) / 2)
        known = [
            (i + shift, m, level) for i, level in zip(places, found.levels, strict=True) if (m := found.multiple(model, level))
        ]
        if not known:
            continue
        ax.plot([x for x, _, _ in known], [m for _, m, _ in known], color=colour, linestyle=dashes, zorder=3)
        for x, multiple, level in known:
            mine, unit = found.distances[model, level], found.distances[found.reference, level].middle
            low, high = min(mine.low, mine.tried) / unit, min(mine.high, mine.tried) / unit
            ax.plot([x, x], [low, high], color=colour, linewidth=1, zorder=2)
            ax.plot([x], [multiple], marker, color=colour, markerfacecolor="white" if mine.open else colour, zorder=4)
            if mine.open:
                ax.annotate("", (x, multiple * 1.25), (x, multiple), arrowprops={"arrowstyle": "->", "color": colour})
    ax.axhline(1, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_ylim()
    high *= 1.3  # room for an arrow
    ax.set_ylim(min(low, 0.45), max(high, 2.2))
    ax.set_xlim(-0.4, len(found.levels) - 0.6)
    ax.set_xticks(list(places), [level for level, _ in found.levels])
