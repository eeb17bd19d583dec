"""What no row may hold: a home folder, or a value of the environment. Rows are mailed, committed and published."""

from __future__ import annotations

import os
import re
from pathlib import Path

_HOMES = re.compile(r"(?<![\w.-])(?:/(?:home|Users)/[^/\s:;,'\"<>|]+|/root(?![\w.-])|[A-Za-z]:\\Users\\[^\\\s:;,'\"<>|]+)")
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)  # in the name of a variable
_SHORTEST, _SHORTEST_SECRET = 8, 4  # characters: a shorter value is a word or a number that stands in any text


def without_homes(text: str) -> str:
    """The text with `~` in place of every home folder, of this user or another."""
    home = str(Path.home())
    own = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if home.count("/") > 1 else text
    return _HOMES.sub("~", own)


def private(text: str) -> str:
    """The text without what belongs to the machine it was made on: `~` for a home folder, `${NAME}` for a variable's value."""
    text = without_homes(text)
    values = {name: without_homes(value) for name, value in os.environ.items()}
    for name, value in sorted(values.items(), key=lambda item: -len(item[1])):
        if len(value) >= (_SHORTEST_SECRET if _SECRET.search(name) else _SHORTEST):
            text = text.replace(value, f"${{{name}}}")
    return text
