"""Tables in a terminal or a pipe: columns where they fit, and blocks where they do not, so that nothing is cut or squeezed."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

GAP = "  "
LEAST = 16  # characters of a column that is folded
_WHOLE: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}  # words, in textwrap
Line = Sequence[str | Text]


def width_of(head: Sequence[str], lines: Sequence[Line]) -> int:
    """How many characters wide the columns are."""
    return sum(_widths(head, lines)) + len(GAP) * (len(head) - 1)


def aligned(head: Sequence[str], lines: Sequence[Line], right: Collection[int] = ()) -> list[Text]:
    """The lines of a table, however wide, without blanks at their ends.

    Args:
        head: the names of the columns; a name may have several lines.
        lines: the cells of each.
        right: the numbers of the columns that are flush right.
    """
    widths = _widths(head, lines)
    names = [name.split("\n") for name in head]
    height = max(map(len, names), default=1)
    padded = [[""] * (height - len(parts)) + parts for parts in names]  # the last lines stand above the cells
    heads: list[Line] = [[Text(parts[i], style="bold") for parts in padded] for i in range(height)]
    rule: Line = ["─" * width for width in widths]
    return [_joined(line, widths, right) for line in [*heads, rule, *lines]]


def table(
    head: Sequence[str],
    lines: Sequence[Line],
    width: int,
    right: Collection[int] = (),
    heading: int = 1,
    fold: Collection[int] = (),
) -> list[Text]:
    """`aligned`, if it fits into `width` characters; else a block for each line, its first cells as a heading.

    Args:
        head: see `aligned`, and so are `lines` and `right`.
        lines: see above.
        width: of the terminal, in characters.
        right: see above.
        heading: how many cells the heading has.
        fold: the numbers of the columns that hold lists or sentences, which may take several lines, where there is some room.
    """
    if width_of(head, lines) > width and fold:
        lines = _folded(head, lines, width, fold)
    if width_of(head, lines) <= width:
        return aligned(head, [part for line in lines for part in _broken(line)], right)
    found: list[Text] = []
    head = [name.replace("\n", " ") for name in head]
    label = max(cell_len(name) for name in head[heading:])
    for line in lines:
        found += [*([Text()] if found else []), *wrapped(", ".join(_text(c).plain for c in line[:heading] if c), width, "bold")]
        for name, cell in zip(head[heading:], line[heading:], strict=True):
            if text := _text(cell).plain:
                found += _labelled(name, text, label, width)
    return found


def _folded(head: Sequence[str], lines: Sequence[Line], width: int, fold: Collection[int]) -> Sequence[Line]:
    """The lines with the cells of `fold` broken between words, each of these columns as wide as the others leave it."""
    widths = _widths(head, lines)
    wide = {i: widths[i] for i in fold}
    room = width - sum(widths) - len(GAP) * (len(head) - 1) + sum(wide.values())
    while sum(wide.values()) > room:
        widest = max(wide, key=lambda i: wide[i])
        wide[widest] -= 1
        if wide[widest] < max(LEAST, *(cell_len(word) for line in lines for word in _text(line[widest]).plain.split())):
            return lines
    return [[("\n".join(textwrap.wrap(_text(c).plain, wide[i], **_WHOLE)) if i in wide else c) for i, c in enumerate(line)]
            for line in lines]  # fmt: skip


def _broken(line: Line) -> list[Line]:
    """A line with cells of several lines as so many lines."""
    parts = [_text(cell).split("\n", allow_blank=True) for cell in line]
    return [[one[i] if i < len(one) else "" for one in parts] for i in range(max(map(len, parts)))]


def wrapped(text: str, width: int, style: str = "") -> list[Text]:
    """A text on as many lines as it needs; those after the first are indented. No word is cut."""
    return [Text(line, style=style) for line in textwrap.wrap(text, width, subsequent_indent=GAP, **_WHOLE)] or [Text()]


def _labelled(name: str, text: str, label: int, width: int) -> list[Text]:
    first = f"{GAP}{name.ljust(label)}{GAP}"
    filled = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first), **_WHOLE)
    return [Text(line) for line in filled]


def _widths(head: Sequence[str], lines: Sequence[Line]) -> list[int]:
    names = [max(map(cell_len, name.split("\n"))) for name in head]
    cells = [[max(map(cell_len, _text(cell).plain.split("\n"))) for cell in line] for line in lines]
    return [max(width, *(line[i] for line in cells), 0) for i, width in enumerate(names)]


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _joined(line: Line, widths: Sequence[int], right: Collection[int]) -> Text:
    found = Text()
    for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
        text = _text(cell)
        blanks = " " * (width - text.cell_len)
        found.append(GAP if i else "").append_text(Text(blanks) + text if i in right else text + Text(blanks))
    found.rstrip()
    return found


def counted(number: int, one: str, many: str = "") -> str:
    """'1 search', '2,000 searches': a number with its noun, whose plural has an s unless it is given."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def epsilon_text(epsilon: float, level: str = "pixels") -> str:
    """'0.05'; for pixels '1/255' or '0.5/255' if it is a multiple of half a grey level."""
    if round(epsilon, 3) == epsilon:
        return f"{epsilon:g}"
    steps = epsilon * 255
    halves = round(2 * steps)
    return f"{halves / 2:g}/255" if level == "pixels" and abs(2 * steps - halves) < 1e-4 else f"{epsilon:.3g}"


def strength_text(epsilon: float, level: str) -> str:
    """The epsilon with its unit: '4/255' of pixels, '0.1 rad' of angles, '0.5 std' of features."""
    return epsilon_text(epsilon, level) + {"pixels": "", "features": " std", "angles": " rad"}[level]
