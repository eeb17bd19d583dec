"""The exception family: what went wrong, where, and what would be valid, in one line."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hqc_ray.redaction import clean

LONGEST, LONGEST_PLACE = 335, 250  # characters of what is wrong, and of what is valid; of where it is
MOST_ERRORS, MOST_TRIED = 20, 500  # that are told of one file; that are met, most of them again
_OPTION = re.compile(r"\w+([.\[]|$)")  # the beginning of a place within a section: noise, members.pgd, judges.heads[1]
_SECTION = re.compile(r"\w+(?=\.|: |$)")  # the one that a place begins with
MANY, FEW = 40, 6  # names: of more than many, an error shows the few that are nearest


class HqcError(Exception):
    """Base of every error that this package raises on purpose."""


class WriteError(HqcError):
    """A write failed in the middle of a sweep; what was written before is kept."""


class InputError(HqcError):
    """An error that the user can fix. The command line prints it as one line and exits with code 2.

    Args:
        what: what is wrong, naming the offending value.
        where: the file, key or option it was found at.
        valid: what would have been accepted.
    """

    others: tuple[InputError, ...] = ()  # that were found with this one, which speaks for them

    def __init__(self, what: str, *, where: str = "", valid: str = "") -> None:
        self.what, self.where, self.valid = what, where, valid
        place, what, valid = _cut(where, LONGEST_PLACE), _cut(what), _cut(valid)  # of which none shows a private value
        super().__init__(" ".join(f"{place + ': ' if place else ''}{what}{f' (valid: {valid})' if valid else ''}".split()))

    def __reduce__(self) -> tuple[Callable[[], InputError], tuple[()], dict[str, Any]]:
        """All parts survive the way out of another process."""
        return functools.partial(type(self), self.what, where=self.where, valid=self.valid), (), {"others": self.others}

    def at(self, where: str) -> InputError:
        """The same error, of the same class, with `where` in front of its own place, which is an option there, or a thing."""
        join = "." if _OPTION.match(self.where) else ": "
        return type(self)(self.what, where=f"{where}{join}{self.where}" if self.where else where, valid=self.valid)

    def moved(self, places: Mapping[str, str], otherwise: str) -> InputError:
        """The same error with its place in a file: `places` says where each section stands, `otherwise` where they all do."""
        section = _SECTION.match(self.where)
        if section and section[0] in places:
            where = places[section[0]] + self.where[section.end() :]
        else:
            where = f"{otherwise}: {self.where}" if self.where else otherwise
        return type(self)(self.what, where=where, valid=self.valid)

    @property
    def all(self) -> tuple[InputError, ...]:
        """This error, and those that were found with it."""
        return (self, *self.others)

    def beside(self, others: Sequence[InputError]) -> InputError:
        """The same error, of the same class, with others that were found in the same thing."""
        made = type(self)(self.what, where=self.where, valid=self.valid)
        made.others = tuple(others)
        return made


class Collected:
    """Goes on after an error, so that one look at a file tells all that is wrong with it.

    found = Collected()
    for entry in entries:
        with found:
            check(entry)
    found.refuse()
    """

    def __init__(self) -> None:
        self.problems: dict[str, InputError] = {}  # by their texts: what stands once in a file is said once
        self.seen = 0

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> bool:
        if not isinstance(problem, InputError):
            return False
        self.seen += 1
        for one in problem.all:
            self.problems.setdefault(str(one), one.beside(()))
        return True

    @property
    def full(self) -> bool:
        """Whether there are as many as anybody reads, or the same ones came again and again."""
        return len(self.problems) >= MOST_ERRORS or self.seen >= MOST_TRIED

    def refuse(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            InputError: the first, with the others beside it.
        """
        if self.problems:
            raise self.whole()

    def whole(self) -> InputError:
        """What was found, as one error; there is at least one."""
        first, *others = self.problems.values()
        return first.beside(others)


class SpecError(InputError):
    """An error in the sweep file."""


class DataError(InputError):
    """An error in images, labels, or the files that hold them."""


class ModelError(InputError):
    """An error of backbones, heads, or their weights."""


class CircuitError(InputError):
    """An error of circuits or embeddings."""


class DeviceError(InputError):
    """An error of quantum devices or noise models."""


class AttackError(InputError):
    """An error of attacks or their options."""


class ResultsError(InputError):
    """An error of the results folder."""


def shown(value: object) -> str:
    """A value in an error: as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return _cut(text, 80)


def _cut(text: str, longest: int = LONGEST) -> str:
    text = clean(text)  # before it is cut, where a part of a private value would not be found
    return text if len(text) <= longest else f"{text[:longest]}..."


Natural = tuple[tuple[int, int, str], ...]


def natural(text: str) -> Natural:
    """A sort key under which vqc2 stands before vqc10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", text) if part)


def close(name: object, known: Iterable[str], n: int = 1) -> list[str]:
    """The `n` names that are most like `name`, whatever the case; fewer, or none, where they are not like it."""
    plain = {text.lower(): text for text in sorted(known, key=natural)}
    return [plain[text] for text in difflib.get_close_matches(str(name)[:100].lower(), plain, n=n)]


def nearest(name: object, known: Iterable[str]) -> str:
    """What to append to an error of an unknown name: the most similar known one; nothing where none is similar."""
    near = close(name, known)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(
    kind: str, name: object, valid: Iterable[str], error: type[InputError] = InputError, where: str = "", all_by: str = ""
) -> InputError:
    """The error for an unknown name: it suggests the nearest valid name, and lists all of them, or of many the nearest.

    Args:
        kind: of what.
        name: as it was given.
        valid: the names there are.
        error: the class of the error.
        where: it was found.
        all_by: what shows all of them, where they are more than `MANY`.
    """
    names = sorted(valid, key=natural)
    told = names
    if len(names) > MANY:
        told = close(name, names, FEW) or names[:FEW]
        told = [*told, f"... {len(names) - len(told)} more{f': {all_by}' if all_by else ''}"]
    return error(f"unknown {kind} {shown(name)}{nearest(name, names)}", where=where, valid=", ".join(told))
