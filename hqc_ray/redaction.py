"""What no row, message or log may hold: values of private variables, credentials inside a URL, the path of somebody's home."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SHORTEST = 6  # characters of a value that is looked for: shorter ones are found in every other word
_WORDS = r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|SIGNATURE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
PRIVATE = re.compile(rf"{_WORDS}|(^|_)KEY(_|$)", re.IGNORECASE)  # names of variables
VARIABLE = re.compile(r"\$\{(\w+)\}")
_SCHEME = r"([a-z][a-z0-9+.-]*://)"
_USER = re.compile(_SCHEME + r"([^/\s?#'\"]*|[^/\s:@'\"]+:(?!\d+/)[^\s@'\"]*)@", re.IGNORECASE)  # a secret may hold a slash
_OPTION = re.compile(rf"{_SCHEME}\S*[?&#;]([\w.-]*({_WORDS})[\w.-]*|sig|key|auth)=", re.IGNORECASE)
_HOMES = re.compile(r"(?<![\w.-])(?:/(?:home|Users)/[^/\s:;,'\"<>|]+|/root(?![\w.-])|[A-Za-z]:\\Users\\[^\\\s:;,'\"<>|]+)")
_named: set[str] = set()  # variables that a sweep file names as ${NAME}


def name(variables: Iterable[str]) -> None:
    """From now on the values of these variables are private, too, whatever they are called."""
    _named.update(variables)


def clean(text: str, *, kept: bool = False) -> str:
    """A text with ${NAME} in place of a private value, and ~ in place of the home folder.

    Args:
        text: such as an error's, or a traceback.
        kept: it goes into a row, and names no folder of this machine that a variable of the sweep file stands for, and no other
            user's home, either.
    """
    if not text:  # of nearly every row
        return text
    for variable, value in _values(kept):
        text = text.replace(value, f"${{{variable}}}").replace(repr(value)[1:-1], f"${{{variable}}}")
    text = _USER.sub(r"\1***@", text)
    return without_homes(text) if kept else _without_own_home(text)


def without_homes(text: str) -> str:
    """The text with `~` in place of every home folder, of this user or another."""
    return _HOMES.sub("~", _without_own_home(text))


def _without_own_home(text: str) -> str:
    home = os.path.expanduser("~")
    for path in {home, os.path.realpath(home)} - {"/", "~"}:
        text = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w-]|\.\w)", "~", text)
    return text


def refer(value: Any) -> Any:
    """An option with ${NAME} in place of a private value, as a sweep file would have it; what is no text stays."""
    if isinstance(value, str):
        for variable, private in _values(False):
            value = value.replace(private, f"${{{variable}}}")
    return value


def holds_private_value(text: str) -> bool:
    """Whether the value of a private variable stands in a text."""
    return any(value in text for _, value in _values(False))


def has_credentials(text: str) -> bool:
    """Whether a text holds a URL with a user or a password, or with a token or a signature among its options."""
    return bool(_USER.search(text) or _OPTION.search(text))


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a YAML document, keys included, with its place; a part that stands there many times is looked at once."""
    waiting: list[tuple[str, Any]] = [(where, value)]
    seen: set[int] = set()
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, str):
            yield place, part
        elif isinstance(part, Mapping | list) and id(part) not in seen:
            seen.add(id(part))
            pairs = part.items() if isinstance(part, Mapping) else enumerate(part)
            for key, inner in pairs:
                waiting += [(place, key), (f"{place}[{key}]" if isinstance(part, list) else f"{place}.{key}".lstrip("."), inner)]


def _values(kept: bool) -> list[tuple[str, str]]:
    """Private variables and their values, the longest first: one may be a part of another."""
    found = [
        (variable, value)
        for variable, value in os.environ.items()
        if len(value) >= SHORTEST and (PRIVATE.search(variable) or (variable in _named and (kept or value[0] not in "/~.")))
    ]
    return sorted(found, key=lambda pair: -len(pair[1]))
