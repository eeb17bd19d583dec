"""Pieces of HTML: tables, lists, texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hqc_ray.report.tables.cell import Cell

LONG = 200  # lines of a table that a browser need not lay out before somebody comes near


def section(name: str, title: str, *parts: str) -> str:
    """A section with its title, which links to itself."""
    heading = f'<h2 id="{name}-title"><a href="#{name}">{escape(title)}</a></h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}' + "\n".join(parts) + "</section>"


def soft(text: str) -> str:
    """A paragraph that explains."""
    return f'<p class="soft">{words(text)}</p>'


def words(text: str) -> str:
    """A sentence, in which what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def table(name: str, title: str, head: Sequence[str], lines: Sequence[Sequence[Cell]], firsts: Iterable[bool] = ()) -> str:
    """A table that the page's scripts make sortable, searchable and savable as CSV.

    Args:
        name: of its file.
        title: for who cannot see it.
        head: names of the columns.
        lines: of cells.
        firsts: whether a line is the first of a group, which is set off.
    """
    set_off = [*firsts, *[False] * len(lines)]
    rows = ("".join(_cell(cell) for cell in line) for line in lines)
    return plain(name, title, head, (f"<tr{' class=first' * one}>{row}</tr>" for one, row in zip(set_off, rows, strict=False)))


def plain(name: str, title: str, head: Sequence[str], rows: Iterable[str]) -> str:
    """The same of rows that are HTML already."""
    lines = list(rows)
    long = " long" if len(lines) > LONG else ""
    names = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    return (
        f'<div class="scroll{long}" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="data" data-name="{escape(name)}"><caption class="hidden">{escape(title)}</caption>'
        f"<thead><tr>{names}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table></div>"
    )


def row(texts: Iterable[str]) -> str:
    """A line of plain texts."""
    return f"<tr>{''.join(f'<td>{breakable(text)}</td>' for text in texts)}</tr>"


def _cell(cell: Cell) -> str:
    kinds = " ".join(
        [kind for kind, there in (("flags", cell.kind == "flags" and cell.text), ("flagged", cell.flagged)) if there]
    )
    mean, *rest = map(escape, cell.parts)
    inner = mean + "".join(f" <small>{part}</small>" for part in rest) if cell.kind == "number" else breakable(cell.text)
    return f'<td class="{kinds}">{inner}</td>' if kinds else f"<td>{inner}</td>"


def breakable(text: str) -> str:
    """A device's options may go on to the next line, but its words stay whole."""
    return re.sub(r"((?<=\w)\[)|(_|,(?=[^\d\s]))", lambda found: "<wbr>[" if found[1] else f"{found[2]}<wbr>", escape(text))


def nested(value: Any) -> str:
    """Mappings and lists, however deep, as lists of terms."""
    if isinstance(value, Mapping) and value:
        return "<dl>" + "".join(f"<dt>{escape(str(key))}</dt><dd>{nested(inner)}</dd>" for key, inner in value.items()) + "</dl>"
    if isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        return "<ol>" + "".join(f"<li>{nested(inner)}</li>" for inner in value) + "</ol>"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else "–" if value is None or value == {} else str(value)
    return escape(text)
