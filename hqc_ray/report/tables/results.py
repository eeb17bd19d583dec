"""The result table in the shape of the paper's Table II, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from hqc_ray.report.content.lines import Line
from hqc_ray.report.content.transfers import Matrix
from hqc_ray.report.content.view import Report
from hqc_ray.report.tables import cards, controls, notes
from hqc_ray.report.tables.cell import NOTHING, Cell, ball_text, certified, number

LEFT = ("Model", "Computation", "Images", "Clean accuracy", "Head", "Qubits", "Device")
CERTIFIED = ("Certified", "Certified radius")
TRANSFERS = (
    "Attacks found on one model and judged by another: robust accuracy in percent as above, over all pairs of seeds. Where both "
    "are the same, the model itself was attacked. !: flagged by the audit."
)


def header(report: Report) -> list[str]:
    """The table's column names; among them what varies of the sweep file, by the name that it has there."""
    told = [name for name, _ in report.lines[0].model.settings] if report.lines else []
    bounds = CERTIFIED if report.certified else ()
    worst = "Worst case so far" if report.unfinished else "Worst case"
    return [*LEFT, *told, "Epsilon", *(attack.text for attack in report.attacks), worst, *bounds, "Flags"]


def heading(report: Report) -> str:
    """'quickstart', or 'quickstart, unfinished: 3 of 65 cells, 62 to come'."""
    names = sorted(set(report.rows["sweep"]))
    return (names[0] if len(names) == 1 else "Results") + (f", unfinished: {report.unfinished}" if report.unfinished else "")


def flags_text(line: Line) -> str:
    """'rises_with_epsilon (FGSM, PGD 2/3); near_chance'; without names if all attacks of the line have the flag."""
    texts = []
    for flag, where in line.flags.items():
        general = set(where) >= set(line.attacks) and not any(where.values()) and len(line.attacks) > 1
        names = ", ".join(f"{attack.text if attack else 'clean'} {share}".strip() for attack, share in where.items())
        texts.append(flag if general else f"{flag} ({names})")
    return "; ".join(texts)


def cells(line: Line, report: Report) -> list[Cell]:
    """One line, under `header`."""
    m = line.model
    images = f"{m.data_size:,} {m.data}".strip()
    qubits = str(m.n_qubits) if m.hybrid and m.n_qubits is not None else NOTHING
    return [
        *(Cell("text", (text,)) for text in (m.name, "hybrid" if m.hybrid else "classical", images)),
        number(line.clean),
        *(Cell("text", (text,)) for text in (m.head_name, qubits)),
        Cell("device", (m.device,)),
        *(Cell("text", (value,)) for _, value in m.settings),
        Cell("text", (ball_text(line.ball),)),
        *(number(line.attacks.get(attack)) for attack in report.attacks),
        number(line.worst),
        *(certified(line.certified, line.ball.level if line.ball else "pixels") if report.certified else ()),
        Cell("flags", (flags_text(line),)),
    ]


def transfer_tables(report: Report) -> list[tuple[str, list[str], list[list[Cell]]]]:
    """(title, header, lines) for each data set and backbone: a line per attack, strength and model that it was found on."""
    places: dict[tuple[object, ...], list[Matrix]] = {}
    for matrix in report.transfers:
        places.setdefault(matrix.model.place, []).append(matrix)
    tables = []
    for its in places.values():
        judges = list(dict.fromkeys(judge for matrix in its for judge in matrix.judges))
        lines = [line for matrix in its for line in _matrix_lines(matrix, judges)]
        model = its[0].model
        title = f"{model.name}, {model.images}"
        tables.append((title, ["Attack", "Epsilon", "Found on", *judges], lines))
    return tables


def _matrix_lines(matrix: Matrix, judges: Sequence[str]) -> list[list[Cell]]:
    lines = []
    for name, values in zip(matrix.found_on, matrix.values, strict=True):
        mine = dict(zip(matrix.judges, values, strict=True))
        left = [Cell("text", (text,)) for text in (matrix.attack.text, ball_text(matrix.ball), name)]
        lines.append([*left, *(number(mine.get(judge), mark="!") for judge in judges)])
    return lines


def table_markdown(report: Report) -> str:
    """The answer in words, the table, its notes and the transferred attacks as Markdown; the same rows give the same text.

    Accuracies are in percent: the mean over seeds, the standard deviation over seeds where there are several, and in
    brackets the 95 % Wilson interval over the evaluated images of all seeds together.
    """
    if not report.lines:
        return "No rows yet.\n"
    text = f"# {_escape(heading(report))}\n\n" + "".join(f"{_escape(sentence)}\n\n" for sentence in report.answer)
    text += _table(header(report), [cells(line, report) for line in report.lines])
    text += "\n\n" + "\n".join(f"- {_escape(note)}" for note in notes.notes(report)) + "\n"
    if report.controls:
        lines = controls.controls_lines(report)
        said = "\n".join(f"- {_escape(sentence)}" for sentence in controls.sentences(report))
        text += f"\n## Paired controls\n\n{controls.CONTROLS}\n\n{said}\n\n{_table(controls.HEADER, lines)}\n"
    if report.cards:
        text += f"\n## Models on their devices\n\n{cards.CARDS}\n\n{_table(cards.HEADER, cards.cards_lines(report))}\n"
    if report.transfers:
        text += f"\n## Transferred attacks\n\n{TRANSFERS}\n"
    for title, head, lines in transfer_tables(report):
        text += f"\n{_escape(title)}, judged by:\n\n{_table(head, lines)}\n"
    return text


def _table(head: Sequence[str], lines: Sequence[Sequence[Cell]]) -> str:
    rows = [head, ["---"] * len(head), *([cell.text for cell in line] for line in lines)]
    return "\n".join("| " + " | ".join(_escape(text) for text in row) + " |" for row in rows)


def _escape(text: str) -> str:
    """As it reads, and nothing else: no column, tag, link or picture comes out of a name or an error."""
    for sign, written in (("|", "\\|"), ("<", "&lt;"), ("](", "]\\(")):
        text = text.replace(sign, written)
    return " ".join(text.split())
