"""The result table in the shape of the paper's Table II: as Markdown, for the terminal, and as files of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from hqc_ray.evaluation import audit
from hqc_ray.report import notes
from hqc_ray.report.files import replace
from hqc_ray.report.lines import Line, Value, gather, labels
from hqc_ray.report.style import attack_name, attack_order, backbone_name, epsilon_text, norm_text
from hqc_ray.results.row import VOLATILE, Row

ALWAYS = ("fgsm", "deepfool", "pgd", "noise")  # columns that stand in the table even when nothing was run for them
SHOWN_IN_TERMINAL = 5  # attacks
NOTHING = "–"
_SORT = (
    "data_source", "data_size", "backbone", "weights", "image_size", "head", "n_qubits", "embedding", "device", "attack",
    "attack_options", "norm", "epsilon", "seed", "key",
)  # fmt: skip


def columns(lines: Sequence[Line]) -> list[str]:
    """The attack labels that the table has a column for: the paper's and the noise control, then those of these lines."""
    return sorted({*ALWAYS, *labels(lines)}, key=attack_order)


def header(attacks: Sequence[str]) -> list[str]:
    """The table's column names."""
    left = ["Model", "Computation", "Images", "Clean accuracy", "Head", "Qubits", "Device", "Epsilon"]
    return [*left, *map(attack_name, attacks), "Worst case", "Flags"]


def value_text(value: Value | None) -> str:
    """'52.0 ± 1.2 [45-59] (2 of 3 seeds) (paper 46.5)', in percent."""
    if value is None:
        return NOTHING
    parts = ["failed"]
    if value.seeds:
        spread = "" if value.spread is None else f" ± {value.spread:.1f}"
        parts = [f"{value.mean:.1f}{spread} [{value.low:.0f}-{value.high:.0f}]"]
    if value.seeds and value.failed:
        parts.append(f"({value.seeds} of {value.seeds + value.failed} seeds)")
    if value.paper is not None:
        parts.append(f"(paper {value.paper:.1f}{'!' if value.paper_flagged else ''})")
    return " ".join(parts)


def flags_text(line: Line) -> str:
    """'rises_with_epsilon (FGSM, PGD 2/3); near_chance': without attacks where all of the line's have it."""
    texts = []
    for flag, where in line.flags.items():
        general = set(where) >= set(line.attacks) and not any(where.values()) and len(line.attacks) > 1
        names = ", ".join(f"{attack_name(label)} {share}".strip() for label, share in where.items())
        texts.append(flag if general else f"{flag} ({names})")
    return "; ".join(texts)


def cells(line: Line, attacks: Sequence[str]) -> list[str]:
    """The texts of one line, under `header`."""
    m = line.model
    images = f"{m.data_size:,}" + ("" if m.data_source == "pcam" else f" ({m.data_source})")
    qubits = str(m.n_qubits) if m.hybrid and m.n_qubits is not None else NOTHING
    kind = "hybrid" if m.hybrid else "classical"
    left = [m.name, kind, images, value_text(line.clean), m.head_name, qubits, m.device, _epsilon(line)]
    return [*left, *(value_text(line.attacks.get(a)) for a in attacks), value_text(line.worst), flags_text(line)]


def _epsilon(line: Line) -> str:
    if line.epsilon is None:
        return NOTHING
    return epsilon_text(line.epsilon) + ("" if line.norm == "linf" else f" ({norm_text(line.norm)})")


def table_markdown(rows: pd.DataFrame) -> str:
    """The table and its notes as Markdown; the same rows give the same text, whatever their order.

    Accuracies are in percent: the mean over seeds, the standard deviation over seeds where there are several, and in
    brackets the 95 % Wilson interval over the evaluated images of all seeds together.
    """
    rows = audit.annotate(sort_rows(rows))
    lines = gather(rows)
    if not lines:
        return "No rows yet.\n"
    attacks = columns(lines)
    table = [header(attacks), ["---"] * len(header(attacks)), *(cells(line, attacks) for line in lines)]
    text = "\n".join("| " + " | ".join(_escape(cell) for cell in row) + " |" for row in table)
    return text + "\n\n" + "\n".join(f"- {_escape(note)}" for note in notes.notes(rows, lines)) + "\n"


def _escape(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def terminal_table(rows: pd.DataFrame, max_lines: int = 60) -> Table:
    """The same in short, at most 120 columns wide: mean accuracies in percent, an exclamation mark at what is flagged."""
    rows = audit.annotate(sort_rows(rows))
    lines = gather(rows)
    attacks = _for_terminal(lines)
    caption = _caption(rows, lines, attacks, max_lines)
    table = Table(title="Accuracy, % (mean over seeds)", caption=Text(caption), caption_justify="left", box=box.SIMPLE_HEAD)
    table.collapse_padding, table.pad_edge = True, False
    for name in ("Model", "Head", "Images", "Device"):  # folded, not cut: the end of a device's name tells it from the others
        table.add_column(name, overflow="fold", max_width={"Model": 14, "Head": 14, "Device": 24}.get(name))
    for name in ("ε", "Clean", *(attack_name(a) for a in attacks), "Worst"):
        table.add_column(Text(name), justify="right", overflow="ellipsis", no_wrap=True, max_width=8)
    for line in lines[:max_lines]:
        m = line.model
        values = [line.clean, *(line.attacks.get(a) for a in attacks), line.worst]
        left = [backbone_name(m.backbone), m.head_name, f"{m.data_size:,}", m.device, _epsilon(line)]
        table.add_row(*map(Text, left), *map(_short, values))  # Text: a device's brackets are no markup
    return table


def _for_terminal(lines: Sequence[Line]) -> list[str]:
    """The plain attacks first, then as many variants as fit."""
    present = labels(lines)
    first = sorted(present, key=lambda label: ("(" in label, attack_order(label)))[:SHOWN_IN_TERMINAL]
    return [label for label in present if label in first]


def _short(value: Value | None) -> Text:
    if value is None:
        return Text(NOTHING)
    if math.isnan(value.mean):
        return Text("failed", style="red")
    return Text(f"{value.mean:.1f}!", style="yellow") if value.flags else Text(f"{value.mean:.1f}")


def _caption(rows: pd.DataFrame, lines: Sequence[Line], attacks: Sequence[str], max_lines: int) -> str:
    raised = notes.raised(rows)
    failed = int((rows["status"] != "ok").sum())
    parts = [
        f"{len(lines) - max_lines} more lines in table.md" if len(lines) > max_lines else "",
        f"{len(labels(lines)) - len(attacks)} more attacks in table.md" if len(labels(lines)) > len(attacks) else "",
        f"! flagged: {', '.join(f'{flag} ({count})' for flag, count in raised.items())}; meanings in table.md" if raised else "",
        f"{failed} of {len(rows)} cells failed" if failed else "",
    ]
    return "\n".join(p for p in parts if p)


def sort_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in an order that depends on nothing but what they say."""
    return rows.sort_values([c for c in _SORT if c in rows], kind="stable", na_position="first", ignore_index=True)


def write_rows(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Write rows.csv and rows.parquet with the column `flags`, sorted; volatile columns stand last.

    In the CSV file flags are joined by ';'. Missing numbers stay empty and whole numbers whole in both.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    rows = _typed(audit.annotate(sort_rows(rows)))
    rows = rows[[c for c in rows if c not in VOLATILE] + [c for c in VOLATILE if c in rows]]
    joined = rows.assign(flags=[";".join(f) for f in rows["flags"]])
    return [
        replace(folder / "rows.csv", lambda path: joined.to_csv(path, index=False, lineterminator="\n")),
        replace(folder / "rows.parquet", lambda path: rows.to_parquet(path, index=False)),
    ]


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns by the row's own types, so that a missing value does not turn whole numbers into broken ones."""
    kinds = {int: "Int64", float: "float64", bool: "boolean"}
    types = {}
    for name, column in Row.model_fields.items():
        wanted = [kinds[k] for k in kinds if column.annotation is k or k in get_args(column.annotation)]
        if wanted and name in rows:
            types[name] = wanted[0]
    return rows.astype(types)
