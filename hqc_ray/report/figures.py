"""Accuracy against epsilon: one panel a model (what each attack does), and one panel an attack (what each head withstands)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from hqc_ray.report.lines import Line, Model, Value, labels
from hqc_ray.report.style import (
    BLACK,
    CLASSICAL_HEADS,
    attack_name,
    attack_style,
    backbone_name,
    epsilon_text,
    head_style,
    norm_text,
    slug,
)

COLUMNS, PANELS = 3, 9  # of one figure; more panels go on to the next page
CIRCUITS = 6  # lines of circuits in one panel, beside those of the classical controls
RC: Any = {
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 8, "figure.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.4, "lines.markersize": 4.5, "savefig.dpi": 180, "axes.grid": True, "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "figure.constrained_layout.use": True, "legend.frameon": False,
}  # fmt: skip
_SYMBOL: dict[str, Any] = {"color": "#555555", "linestyle": "", "markeredgewidth": 1.2}
Style = tuple[str, str, Any]  # colour, marker, dashes
Curve = Sequence[tuple[float, Value]]
T = TypeVar("T")


def accuracy(lines: Sequence[Line]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each data, backbone, weights and norm: a panel for each head and device, a curve for each attack."""
    for (place, norm), its in _by_figure(lines).items():
        styles = attack_style(labels(its))
        panels: dict[Model, list[Line]] = defaultdict(list)
        for line in its:
            panels[line.model].append(line)
        for page, chosen in _pages(list(panels.items()), PANELS):
            figure, axes = _grid(len(chosen), [e for e, _ in _points(its)], _title(chosen[0][0], page), norm)
            for ax, (model, its_lines) in zip(axes, chosen, strict=True):
                _attack_panel(ax, model, its_lines, styles)
            drawn = [line for _, some in chosen for line in some]
            _legend(figure, {attack_name(a): styles[a] for a in labels(drawn)}, [v for _, v in _points(drawn)])
            yield slug("accuracy", *place, norm, page), figure


def heads(lines: Sequence[Line]) -> Iterator[tuple[str, Figure]]:
    """(name, figure) for each of the above and each device: a panel for each attack, a curve for each head.

    The classical controls stand in every one of them. A device that runs a single head is not drawn.
    """
    for (place, norm), its in _by_figure(lines).items():
        controls = [line for line in its if not line.model.hybrid]
        devices = sorted({line.model.device for line in its if line.model.hybrid}) or ["classical"]
        for device in devices:
            circuits = [line for line in its if line.model.hybrid and line.model.device == device]
            names = _heads(circuits)
            for page, chosen in _pages(names, CIRCUITS) if names else [("", [])]:
                drawn = [*controls, *(line for line in circuits if _head(line.model) in chosen)]
                if len(_heads(drawn)) > 1:
                    yield slug("heads", *place, device, norm, page), _heads_figure(drawn, device, norm, page)


def _heads_figure(lines: Sequence[Line], device: str, norm: str, page: str) -> Figure:
    attacks = labels(lines)[:PANELS]
    names = _heads(lines)
    styles = dict(zip(names, head_style([_any(lines, name).model.head for name in names]), strict=True))
    title = _title(lines[0].model, page) + (f"\n{device}" if device != "classical" else "")
    figure, axes = _grid(len(attacks), [e for e, _ in _points(lines)], title, norm)
    for ax, attack in zip(axes, attacks, strict=True):
        ax.set_title(attack_name(attack))
        for name in names:
            mine = [line for line in lines if _head(line.model) == name]
            curve = [(line.epsilon or 0.0, line.attacks[attack]) for line in mine if attack in line.attacks]
            _draw(ax, curve, styles[name], mine[0].clean, band=len(names) <= 4)
    _legend(figure, {name: styles[name] for name in names}, [v for _, v in _points(lines)], clean=False)
    return figure


def _by_figure(lines: Sequence[Line]) -> dict[tuple[tuple[object, ...], str], list[Line]]:
    groups: dict[tuple[tuple[object, ...], str], list[Line]] = defaultdict(list)
    for line in lines:
        if any(v.seeds for v in line.attacks.values()):  # a model whose every cell failed has no curve
            m = line.model
            size = m.image_size if m.image_size != 96 else ""
            groups[(m.data_source, m.data_size, m.backbone, m.weights, size), line.norm].append(line)
    return groups


def _attack_panel(ax: Axes, model: Model, lines: Sequence[Line], styles: Mapping[str, Style]) -> None:
    ax.set_title(_head(model) + (f"\n{model.device}" if model.hybrid else ""))
    clean = lines[0].clean
    if clean.seeds:
        ax.axhline(clean.mean, color=BLACK, dashes=(5, 3), linewidth=1, zorder=1.5)
    for attack in labels(lines):
        curve = [(line.epsilon or 0.0, line.attacks[attack]) for line in lines if attack in line.attacks]
        _draw(ax, curve, styles[attack], clean, band=True)
        paper = [(e, v.paper) for e, v in curve if v.paper is not None]
        if paper:
            ax.plot(*zip(*paper, strict=True), "x", color=styles[attack][0], markersize=4.5, markeredgewidth=1.2, zorder=4)


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


def _grid(n: int, epsilons: Sequence[float], title: str, norm: str) -> tuple[Figure, list[Axes]]:
    columns = min(n, COLUMNS if n != 4 else 2)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(max(2.75 * columns, 4.6), 2.25 * rows + 0.75))
    figure.suptitle(title, fontweight="bold")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for i, ax in enumerate(axes):
        if i >= n:
            ax.remove()
            continue
        _epsilon_axis(ax, epsilons)
        ax.set_ylim(0, 103)
        ax.set_yticks(range(0, 101, 25))
        ax.axhline(50, color="#B5B5B5", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        if i % columns == 0:
            ax.set_ylabel("accuracy, %")
        if i + columns >= n:
            ax.set_xlabel(f"epsilon ({norm_text(norm)}, pixels in [0, 1])")
            ax.tick_params(labelbottom=True)
    return figure, axes[:n]


def _epsilon_axis(ax: Axes, epsilons: Sequence[float]) -> None:
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
    ax.set_xticks(kept, ["0" if e == 0 else epsilon_text(e) for e in kept])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(0, largest * (1.15 if wide else 1.04))


def _legend(figure: Figure, styles: Mapping[str, Style], values: Sequence[Value], clean: bool = True) -> None:
    handles = [Line2D([], [], color=c, marker=m, linestyle=d, label=name) for name, (c, m, d) in styles.items()]
    if clean:
        handles.append(Line2D([], [], color=BLACK, dashes=(5, 3), linewidth=1, label="clean"))
    if clean and any(v.paper is not None for v in values):
        handles.append(Line2D([], [], marker="x", label="the paper's", **_SYMBOL))
    if any(v.flags for v in values):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="flagged by the audit", **_SYMBOL))
    width, height = figure.get_size_inches()
    longest = max(len(str(h.get_label())) for h in handles)
    columns = max(2, min(len(handles), int(width / (0.06 * longest + 0.5))))
    figure.set_figheight(height + 0.18 * math.ceil(len(handles) / columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.4)


def _title(model: Model, page: str) -> str:
    data = f"{model.data_size:,} images" + ("" if model.data_source == "pcam" else f" ({model.data_source})")
    weights = ", random weights" if model.weights == "random" else ""
    size = f" at {model.image_size} px" if model.image_size != 96 else ""
    more = f", part {page}" if page else ""
    return f"{backbone_name(model.backbone)}{size}{weights}, {data}{more}"


def _head(model: Model) -> str:
    """The head, with what tells it from another of the same name."""
    width = f", {model.n_qubits} qubits" if model.hybrid and model.n_qubits else ""
    kind = "" if model.hybrid or model.head not in CLASSICAL_HEADS else " (classical)"
    return model.head_name + width + kind + (f" [{model.variant}]" if model.variant else "")


def _heads(lines: Sequence[Line]) -> list[str]:
    return [_head(m) for m in sorted({_head(line.model): line.model for line in lines}.values(), key=lambda m: m.order)]


def _any(lines: Sequence[Line], head: str) -> Line:
    return next(line for line in lines if _head(line.model) == head)


def _points(lines: Sequence[Line]) -> list[tuple[float, Value]]:
    return [(line.epsilon or 0.0, value) for line in lines for value in line.attacks.values()]


def _pages(items: Sequence[T], size: int) -> Iterator[tuple[str, list[T]]]:
    """Parts of at most `size`, numbered from 1 where there are several."""
    for i in range(0, len(items), size):
        yield (str(i // size + 1) if len(items) > size else ""), list(items[i : i + size])
