"""Accuracy against epsilon: one panel per model (what each attack does), and one per attack (what each head withstands)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from hqc_ray.report.content import reference
from hqc_ray.report.content.attacks import Style, attack_style
from hqc_ray.report.content.lines import Ball, Line, Value, attacks_of
from hqc_ray.report.content.models import Model
from hqc_ray.report.style import BLACK, epsilon_text, head_style, norm_text, slug, wrapped

COLUMNS, PANELS = 3, 9  # of one figure; more panels go on to the next page
TITLE = 36  # characters of a line above a panel
CIRCUITS = 6  # lines of circuits in one panel, beside those of the classical controls
RC: Any = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 8, "figure.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.4, "lines.markersize": 4.5, "savefig.dpi": 180, "axes.grid": True, "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "figure.constrained_layout.use": True, "legend.frameon": False,
    "text.parse_math": False,
}  # fmt: skip
_SYMBOL: dict[str, Any] = {"color": "#555555", "linestyle": "", "markeredgewidth": 1.2}
_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "#777777", "hatch": "////", "linewidth": 0.0, "zorder": 1.8}
Curve = Sequence[tuple[float, Value]]
T = TypeVar("T")


def accuracy(lines: Sequence[Line]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each data, backbone, level and norm: a panel for each head and device, a curve for each attack."""
    for (place, level, norm), its in _by_figure(lines).items():
        styles = attack_style(attacks_of(its))
        panels: dict[Model, list[Line]] = defaultdict(list)
        for line in its:
            panels[line.model].append(line)
        for page, chosen in pages(list(panels.items()), PANELS):
            figure, axes = _grid(len(chosen), its, _title(chosen[0][0], page))
            for ax, (model, its_lines) in zip(axes, chosen, strict=True):
                _attack_panel(ax, model, its_lines, styles)
            drawn = [line for _, some in chosen for line in some]
            certified = any(line.certified for line in drawn)
            _legend(figure, {a.text: styles[a] for a in attacks_of(drawn)}, _values(drawn), certified=certified)
            yield slug("accuracy", *place, "" if level == "pixels" else level, norm, page), figure


def heads(lines: Sequence[Line]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each of the above and each device: a panel for each attack, a curve for each head.

    The classical controls stand in every one of them. A device that runs a single head is not drawn.
    """
    for (place, level, norm), its in _by_figure(lines).items():
        controls = [line for line in its if not line.model.hybrid]
        devices = sorted({line.model.device for line in its if line.model.hybrid}) or ["classical"]
        for device in devices:
            circuits = [line for line in its if line.model.hybrid and line.model.device == device]
            names = _heads(circuits)
            for page, chosen in pages(names, CIRCUITS) if names else [("", [])]:
                drawn = [*controls, *(line for line in circuits if _head(line.model) in chosen)]
                if len(_heads(drawn)) > 1:
                    name = slug("heads", *place, device, "" if level == "pixels" else level, norm, page)
                    yield name, _heads_figure(drawn, device, page)


def _heads_figure(lines: Sequence[Line], device: str, page: str) -> Figure:
    attacks = attacks_of(lines)[:PANELS]
    names = _heads(lines)
    models = [_any(lines, name).model for name in names]
    styles = dict(zip(names, head_style([(m.head, m.hybrid) for m in models]), strict=True))
    title = _title(lines[0].model, page) + (f"\n{device}" if device != "classical" else "")
    figure, axes = _grid(len(attacks), lines, title)
    for ax, attack in zip(axes, attacks, strict=True):
        ax.set_title(wrapped(attack.text, TITLE))
        for name in names:
            mine = [line for line in lines if _head(line.model) == name]
            curve = [(line.epsilon, line.attacks[attack]) for line in mine if attack in line.attacks]
            _draw(ax, curve, styles[name], mine[0].clean, band=len(names) <= 4)
    _legend(figure, {name: styles[name] for name in names}, _values(lines), clean=False)
    return figure


def _by_figure(lines: Sequence[Line]) -> dict[tuple[tuple[object, ...], str, str], list[Line]]:
    """The lines of each figure: those of one place, level and norm."""
    groups: dict[tuple[tuple[object, ...], str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.ball and any(v.seeds for v in line.attacks.values()):  # a model whose every cell failed has no curve
            groups[line.model.place, line.ball.level, line.ball.norm].append(line)
    return groups


def _attack_panel(ax: Axes, model: Model, lines: Sequence[Line], styles: Mapping[Any, Style]) -> None:
    ax.set_title(wrapped(_head(model) + (f"\n{model.device}" if model.hybrid else ""), TITLE))
    clean = lines[0].clean
    if clean.seeds:
        ax.axhline(clean.mean, color=BLACK, dashes=(5, 3), linewidth=1, zorder=1.5)
    _certified_band(ax, lines)
    for attack in attacks_of(lines):
        curve = [(line.epsilon, line.attacks[attack]) for line in lines if attack in line.attacks]
        _draw(ax, curve, styles[attack], clean, band=True)
        paper = [(e, v.paper) for e, v in curve if v.paper is not None]
        if paper:
            ax.plot(*zip(*paper, strict=True), "x", color=styles[attack][0], markersize=4.5, markeredgewidth=1.2, zorder=4)


def _certified_band(ax: Axes, lines: Sequence[Line]) -> None:
    """From what is certified up to what the worst case of all attacks leaves: the truth lies between."""
    known = [(line.epsilon, line.certified.value.mean, line.worst.mean) for line in lines if line.certified and line.worst]
    if known:
        x, low, high = zip(*sorted(known), strict=True)
        ax.fill_between(x, low, high, gid="certified", **_BAND)
        ax.plot(x, low, color=_BAND["edgecolor"], linewidth=0.8, zorder=1.8)


def _draw(ax: Axes, curve: Curve, style: Style, clean: Value, band: bool) -> None:
    """One curve from the clean accuracy at 0 on; what the audit flags is drawn hollow."""
    colour, marker, dashes = style
    curve = sorted((p for p in curve if p[1].seeds), key=lambda p: p[0])
    if not curve:
        return
    start = [(0.0, clean.mean, clean.low, clean.high)] if clean.seeds and curve[0][0] > 0 else []
    x, mean, low, high = zip(*start, *((e, v.mean, v.low, v.high) for e, v in curve), strict=True)
    ax.plot(x, mean, linestyle=dashes, color=colour, zorder=3)
    if band:
        ax.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0, zorder=2)
    for flagged in (False, True):
        points = [(e, v.mean) for e, v in curve if bool(v.flags) == flagged]
        if points:
            face = "white" if flagged else colour
            (drawn,) = ax.plot(*zip(*points, strict=True), marker, color=colour, markerfacecolor=face, markeredgewidth=1.2)
            drawn.set(zorder=5 + flagged, gid="flagged" if flagged else "believed")


def _grid(n: int, lines: Sequence[Line], title: str) -> tuple[Figure, list[Axes]]:
    """A figure of `n` panels with the axes that these lines, of one level and norm, need."""
    balls = [line.ball for line in lines if line.ball]
    columns = min(n, COLUMNS if n != 4 else 2)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(max(2.75 * columns, 4.6), 2.25 * rows + 0.75))
    figure.suptitle(wrapped(title, int(13 * figure.get_figwidth())), fontweight="bold")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for i, ax in enumerate(axes):
        if i >= n:
            ax.remove()
            continue
        _epsilon_axis(ax, [ball.epsilon for ball in balls], balls[0].level)
        ax.set_ylim(0, 103)
        ax.set_yticks(range(0, 101, 25))
        ax.axhline(lines[0].model.chance, color="#B5B5B5", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        if i % columns == 0:
            ax.set_ylabel("accuracy, %")
        if i + columns >= n:
            ax.set_xlabel(_epsilon_label(balls[0]))
            ax.tick_params(labelbottom=True)
    return figure, axes[:n]


def _epsilon_label(ball: Ball) -> str:
    space = "pixels in [0, 1]" if ball.level == "pixels" else f"{ball.level}, {ball.unit}"
    return f"epsilon ({norm_text(ball.norm)}, {space})"


def _epsilon_axis(ax: Axes, epsilons: Sequence[float], level: str) -> None:
    """Linear where it is readable, else linear up to the smallest epsilon and logarithmic from there; ticks at what was run."""
    positive = sorted({e for e in epsilons if e > 0})
    smallest, largest = (positive[0], positive[-1]) if positive else (1.0, 1.0)
    wide = largest / smallest > 12
    if wide:
        ax.set_xscale("symlog", linthresh=smallest, linscale=0.4)
    place = ax.transScale.transform
    span = place((largest, 0))[0] - place((0, 0))[0]
    kept: list[float] = []
    for e in [*reversed(positive), 0.0]:
        if all(abs(place((e, 0))[0] - place((k, 0))[0]) > 0.17 * span for k in kept):
            kept.append(e)
    ax.set_xticks(kept, ["0" if e == 0 else epsilon_text(e, level) for e in kept])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0, largest * (1.15 if wide else 1.04))


def _legend(
    figure: Figure, styles: Mapping[str, Style], values: Sequence[Value], clean: bool = True, certified: bool = False
) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=c, marker=m, linestyle=d, label=wrapped(name, 2 * TITLE)) for name, (c, m, d) in styles.items()
    ]
    if clean:
        handles.append(Line2D([], [], color=BLACK, dashes=(5, 3), linewidth=1, label="clean"))
    if clean and any(v.paper is not None for v in values):
        handles.append(Line2D([], [], marker="x", label="the paper's", **_SYMBOL))
    if certified:
        handles.append(Patch(label="certified to worst case", **_BAND))
    if any(v.flags for v in values):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="flagged by the audit", **_SYMBOL))
    width, height = figure.get_size_inches()
    longest = max(len(line) for h in handles for line in str(h.get_label()).split("\n"))
    columns = max(2, min(len(handles), int(width / (0.06 * longest + 0.5))))
    figure.set_figheight(height + 0.18 * math.ceil(len(handles) / columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.4)


def _title(model: Model, page: str) -> str:
    """'ResNet18, 1,000 images (synthetic), evaluate.images=40, part 2'."""
    weights = ", random weights" if model.weights == "random" else ""
    size = f" at {model.image_size} px" if model.image_size != reference.IMAGE_SIZE else ""
    more = f", part {page}" if page else ""
    return f"{model.backbone_name}{size}{weights}, {model.images}{more}"


def _head(model: Model) -> str:
    """The head, with what tells it from another of the same name."""
    width = f", {model.n_qubits} qubits" if model.hybrid and model.n_qubits else ""
    kind = "" if model.hybrid else " (classical)"
    told = model.full_head.removeprefix(model.head_name)
    return model.head_name + width + kind + told + (f" [{model.variant}]" if model.variant else "")


def _heads(lines: Sequence[Line]) -> list[str]:
    return [_head(m) for m in sorted({_head(line.model): line.model for line in lines}.values(), key=lambda m: m.order)]


def _any(lines: Sequence[Line], head: str) -> Line:
    return next(line for line in lines if _head(line.model) == head)


def _values(lines: Sequence[Line]) -> list[Value]:
    return [value for line in lines for value in line.attacks.values()]


def pages(items: Sequence[T], size: int) -> Iterator[tuple[str, list[T]]]:
    """Parts of at most `size`, numbered from 1 where there are several."""
    for i in range(0, len(items), size):
        yield (str(i // size + 1) if len(items) > size else ""), list(items[i : i + size])
