"""Error mitigation as users of machines switch it on: the readout inverted, and noise extrapolated to zero.

Both are linear in what is read, so a mitigated device is a fixed combination of unmitigated ones. What comes out are
quasi-probabilities: they add up to 1, and some may be negative, or above 1; so may an expectation leave [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from hqc_ray.entries import Options
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.base import along_wires

MOST = 10  # scales, and the largest of them
NEAREST = 0.01  # two scales; Richardson's weights grow as their distance shrinks
WORST = 0.01  # of 1 - readout_01 - readout_10, by which an inverse divides
CALIBRATIONS = 2  # circuits: all qubits prepared as 0, and all as 1
EXTRAPOLATED = (1.0, 3.0, 5.0)  # how often IBM's Estimator runs each two-qubit gate at resilience level 2


class Mitigation(Options):
    """What is done about the noise of a device, after its circuits were read.

    Args:
        readout: the assignment matrix of each wire is inverted; of a sampled device, as its calibration circuits give it.
        zne: zero-noise extrapolation from these scales of the noise, on top of `noise_scale`; 1 is among them. A machine's noise
            cannot be scaled: there they are how often each two-qubit gate is run, odd whole numbers.
        extrapolation: `richardson`: the polynomial through all scales; `linear`: the line of least squares.
        resilience_level: in place of all others, on `ibm`: what the Estimator of IBM's runtime does itself. 0: nothing; 1: the
            readout; 2: and zero-noise extrapolation.
    """

    readout: bool = False
    zne: tuple[float, ...] = ()
    extrapolation: Literal["richardson", "linear"] = "richardson"
    resilience_level: Literal[0, 1, 2] | None = None

    @model_serializer(mode="wrap")
    def _what_counts(self, as_it_is: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The level alone, or all but the level: keys of before stay."""
        return {name: value for name, value in as_it_is(self).items() if (name == "resilience_level") == self.estimator}

    @field_validator("zne")
    @classmethod
    def _in_order(cls, zne: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(zne))  # the same scales are the same device

    @model_validator(mode="after")
    def _sensible(self) -> Mitigation:
        if self.estimator:
            if beside := sorted(self.model_fields_set - {"resilience_level"}):
                what = f"{beside[0]} beside resilience_level, with which IBM's Estimator mitigates in its own way"
                raise DeviceError(what, where="mitigation", valid="resilience_level alone, or readout and zne")
            return self
        if not (self.readout or self.zne):
            raise DeviceError("nothing is mitigated", where="mitigation", valid="readout: true, zne: [1, 1.5, 2], or both")
        if self.extrapolation != "richardson" and not self.zne:
            raise DeviceError("extrapolation without zne", where="mitigation.extrapolation", valid="zne: [1, 1.5, 2]")
        if self.zne:
            self._check_scales()
        return self

    def _check_scales(self) -> None:
        scales, where = sorted(self.zne), "mitigation.zne"
        valid = f"2 to {MOST} different scales from 1 to {MOST}, 1 among them, such as [1, 1.5, 2]"
        if not 2 <= len(scales) <= MOST or scales[-1] > MOST:
            raise DeviceError(f"{len(scales)} scales up to {scales[-1]:g}", where=where, valid=valid)
        if 1.0 not in scales or scales[0] < 1:
            raise DeviceError(f"the smallest scale is {scales[0]:g}", where=where, valid=valid)
        if min(np.diff(scales)) < NEAREST:
            raise DeviceError(f"scales repeat, or are nearer than {NEAREST:g}", where=where, valid=valid)

    @property
    def estimator(self) -> bool:
        """Whether IBM's Estimator does it, which gives expectations in place of outcomes."""
        return self.resilience_level is not None

    @property
    def scales(self) -> tuple[float, ...]:
        """K scales of the noise at which each circuit runs."""
        return self.zne or (EXTRAPOLATED if self.resilience_level == 2 else (1.0,))

    @property
    def weights(self) -> np.ndarray:
        """[K]: how much what is read at each scale counts; they add up to 1."""
        if not self.zne:
            return np.ones(1)
        if self.extrapolation == "linear":  # the value at 0 of the line of least squares
            lines = np.stack([np.ones(len(self.zne)), self.zne], -1)
            return np.asarray(np.linalg.pinv(lines)[0])
        return np.array([math.prod(other / (other - own) for other in self.zne if other != own) for own in self.zne])

    @property
    def label(self) -> str:
        """In a word, as in 'readout+zne(1/1.5/2)' or 'resilience_level(1)'."""
        if self.estimator:
            return f"resilience_level({self.resilience_level})"
        inner = "/".join(f"{scale:g}" for scale in self.zne)
        line = "linear:" if self.extrapolation == "linear" else ""
        return "+".join([*(["readout"] if self.readout else []), *([f"zne({line}{inner})"] if self.zne else [])])


@dataclass(frozen=True, eq=False)
class Recipe:
    """How what is read at K scales becomes one quasi-probability of each outcome.

    Args:
        weights: [K].
        assignments: [K, Q, 2, 2], the matrix of each wire at each scale, row the true bit, column the bit read; [1, Q, 2, 2]:
            the same at all scales; None: what is read is taken as it is.
    """

    weights: np.ndarray
    assignments: np.ndarray | None = None

    def combined(self, read: np.ndarray, assignments: np.ndarray | None = None) -> np.ndarray:
        """Quasi-probabilities [N, 2**Q] of what is read at each scale, [K, N, 2**Q], by these assignments or others."""
        used = self.assignments if assignments is None else assignments
        if used is not None:
            at_each = np.broadcast_to(np.linalg.inv(used), (len(read), *used.shape[1:]))
            read = np.stack([along_wires(rows, list(each)) for rows, each in zip(read, at_each, strict=True)])
        return np.tensordot(self.weights, read, 1)

    def calibrated(self, shots: int, generator: np.random.Generator) -> np.ndarray | None:
        """The assignments as calibration circuits with so many shots give them: all qubits 0, then all 1, at each scale."""
        if self.assignments is None:
            return None
        return assigned(generator.binomial(shots, self.assignments[..., [0, 1], [1, 0]]), shots)


def assigned(flips: np.ndarray, shots: int) -> np.ndarray:
    """Assignment matrices [..., 2, 2] by counts [..., 2]: how often, of `shots` each, a 0 was read as 1, and a 1 as 0.

    The chance that both rows of a matrix agree, which has no inverse, is taken as half a count off.
    """
    told = flips.astype(np.float64)
    told[told.sum(-1) == shots] -= 0.25
    zero, one = np.moveaxis(told / shots, -1, 0)
    return np.stack([np.stack([1 - zero, zero], -1), np.stack([one, 1 - one], -1)], -2)


def recipe(mitigation: Mitigation, assignments: np.ndarray) -> Recipe:
    """That of a mitigation, where the wires have these assignments [K, Q, 2, 2].

    Raises:
        DeviceError: a readout that cannot be inverted.
    """
    if not mitigation.readout:
        return Recipe(mitigation.weights)
    if np.array_equal(assignments, np.broadcast_to(np.eye(2), assignments.shape)):
        raise DeviceError("no qubit is misread: it would change nothing", where="mitigation.readout", valid="false")
    told = 1 - assignments[..., 0, 1] - assignments[..., 1, 0]
    if np.abs(told).min() < WORST:
        what = f"a readout that tells 0 from 1 by {np.abs(told).min():.2g} cannot be inverted"
        raise DeviceError(what, where="mitigation.readout", valid=f"false, or readout_01 + readout_10 off 1 by {WORST} or more")
    return Recipe(mitigation.weights, assignments)
