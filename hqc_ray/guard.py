"""Calls of a user's own code: whatever it raises, and whatever it returns that is wrong, is one line with its file and line."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import site
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hqc_ray.errors import InputError
from hqc_ray.redaction import clean

LENGTH = 160  # characters of an exception's text that are shown
_OURS = Path(__file__).parent
_INSTALLED = (*(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")), site.getusersitepackages())


Definition = Callable[..., Any] | None
E = TypeVar("E", bound=InputError)


@contextlib.contextmanager
def guarded(
    kind: str,
    name: str,
    error: type[InputError] = InputError,
    to: str = "run",
    valid: str | Callable[[BaseException], str] = "",
    by: Definition = None,
) -> Iterator[None]:
    """Turn every exception of the code of a user (or of a plugin) into an `error`; an interrupt from the keyboard passes.

        with guarded("circuit", "mine:ansatz", CircuitError, to="build"):
            ansatz(builder)  # cannot build circuit 'mine:ansatz': KeyError: 'a' (~/mine.py, line 7)

    An `InputError` stays what it is; where it came through the user's code, that place is added.

    Args:
        kind: what it is, as circuit or device.
        name: as the sweep file says it: `package.module:name`.
        error: the class of what is raised.
        to: what was tried.
        valid: what would have worked, or what says so of an exception.
        by: the function or class that is called, whose own place is said where none inside it is known.

    Raises:
        InputError: see above.
    """
    try:
        yield
    except InputError as problem:
        if not (place := _raised(problem, name) or _defined(by)):
            raise
        what = problem.what if repr(name) in str(problem) else f"{kind} {name!r}: {problem.what}"
        raise type(problem)(what if place in what else f"{what}{place}", where=problem.where, valid=problem.valid) from problem
    except BaseException as problem:  # a user's code may exit, or raise anything
        if isinstance(problem, KeyboardInterrupt) and not _by_statement(problem):
            raise
        place = _raised(problem, name) or _defined(by)
        hint = valid if isinstance(valid, str) else valid(problem)
        raise error(f"cannot {to} {kind} {name!r}: {said(problem, bool(place))}{place}", valid=hint) from problem


def wrong(kind: str, name: str, what: str, error: type[E], by: Definition = None, valid: str = "") -> E:
    """The error for what a user's own code gives or is: "device 'mine:Lab': run gives a tuple (~/mine.py, line 7)".

    Args:
        kind: see `guarded`; and so are `name` and `error`.
        name: see above.
        what: is wrong.
        error: see above.
        by: the function, method or class that it comes from, whose place is said.
        valid: what would have been accepted.
    """
    return error(f"{kind} {name!r}: {what}{_defined(by)}", valid=valid)


def said(problem: BaseException, placed: bool = False) -> str:
    """The class and the text of an exception: printable, on one line, no longer than `LENGTH`, the home folder as ~.

    Args:
        problem: see above.
        placed: its place is said behind it; of a syntax error it is then left out of the text.
    """
    try:
        text = str(problem.msg if placed and isinstance(problem, SyntaxError) else problem)
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = ""
    text = one_line(text)
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def one_line(text: str) -> str:
    """`text` printable, on one line, no longer than `LENGTH`, without private values, the home folder as ~."""
    head = clean(text[: 20 * LENGTH])  # before it is cut, where a part of a private value would not be found
    flat = " ".join("".join(c if c.isprintable() else " " for c in head).split())
    return flat if len(flat) <= LENGTH else f"{flat[: LENGTH - 3]}..."


def _raised(problem: BaseException, name: str) -> str:
    """The innermost place of `problem` in code that is the user's: of the package of `name`, or not installed and not ours."""
    if isinstance(problem, SyntaxError) and problem.filename and _of_user(problem.filename):
        return _place(problem.filename, problem.lineno)
    package = _package(name.partition(":")[0])
    inside = list(traceback.walk_tb(problem.__traceback__))[2:]  # without `guarded`, and who calls it
    for frame, line in reversed(inside):
        path = frame.f_code.co_filename
        if _of_user(path) or (":" in name and _package(frame.f_globals.get("__name__")) == package != _package(__name__)):
            return _place(path, line)
    return ""


def _by_statement(problem: KeyboardInterrupt) -> bool:
    """Whether a line of code raised it, and not the keyboard."""
    frame, line = list(traceback.walk_tb(problem.__traceback__))[-1]
    file = frame.f_code.co_filename
    return _of_user(file) and "raise " in linecache.getline(file, line)


def _package(module: object) -> str:
    return str(module).partition(".")[0]


def _of_user(path: str) -> bool:
    return Path(path).is_absolute() and not path.startswith(_INSTALLED) and _OURS not in Path(path).parents


def _defined(by: Definition) -> str:
    """The place of a definition; nothing where there is no source, or it is not a user's."""
    try:
        found = inspect.unwrap(by) if by is not None else None
        path = inspect.getsourcefile(found) if found is not None else None
        return _place(path, inspect.getsourcelines(found)[1]) if path and found is not None and _of_user(path) else ""
    except (TypeError, OSError, ValueError, SyntaxError):
        return ""


def _place(path: str, line: int | None) -> str:
    return f" ({one_line(path)}, line {line})"
