"""The exception family: what went wrong, where, and what would be valid, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HqcError(Exception):
    """Base of every error that this package raises on purpose."""


class WriteError(HqcError):
    """The disk did not take something in the middle of a sweep; what was written before is kept."""


class InputError(HqcError):
    """Something that the user can put right. The command line prints it as one line and exits with code 2.

    Args:
        what: what is wrong, naming the offending value.
        where: the file, key or option it was found at.
        valid: what would have been accepted.
    """

    def __init__(self, what: str, *, where: str = "", valid: str = "") -> None:
        self.what, self.where, self.valid = what, where, valid
        super().__init__(" ".join(f"{where + ': ' if where else ''}{what}{f' (valid: {valid})' if valid else ''}".split()))

    def at(self, where: str) -> InputError:
        """The same error, of the same class, with its place put in front."""
        inner = f"{where}.{self.where}" if self.where else where
        return type(self)(self.what, where=inner, valid=self.valid)


class SpecError(InputError):
    """The sweep file."""


class DataError(InputError):
    """Images, labels, or the files that hold them."""


class ModelError(InputError):
    """Backbones, heads, and their weights."""


class CircuitError(InputError):
    """Circuits and embeddings."""


class DeviceError(InputError):
    """Quantum devices and noise models."""


class AttackError(InputError):
    """Attacks and their options."""


class ResultsError(InputError):
    """The results folder."""


def unknown(kind: str, name: object, valid: Iterable[str], error: type[InputError] = InputError, where: str = "") -> InputError:
    """The error for a name that is in no table: lists the valid ones, and the nearest first."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return error(f"unknown {kind} {name!r}{hint}", where=where, valid=", ".join(names))
