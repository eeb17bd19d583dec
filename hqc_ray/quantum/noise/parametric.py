"""Noise by numbers, without a machine: the options of a noisy device, and the errors that they mean.

The gates of such a device are `BASIS` on any pair of qubits. rz is a change of frame: it takes no time and has no error. After
each other gate come, on its qubits, in this order: depolarizing (of all its qubits together), amplitude damping, phase damping,
and thermal relaxation (of each). Readout flips the bit of each wire on its own. Waits, couplings and excess turns, which a
machine can have as well, are those of `running`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from hqc_ray.entries import Entry
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise import machines, running
from hqc_ray.quantum.noise.base import Noise, relaxation, require
from hqc_ray.quantum.noise.running import FRAMES, Extras

BASIS = ("rz", "sx", "x", "cx")
NOISY = {"sx": 1, "x": 1, "cx": 2}  # gates that take time, and their qubits
PROBABILITIES = ("depolarizing_1q", "depolarizing_2q", "amplitude_damping", "phase_damping", "readout_01", "readout_10")
DECLARED = (*PROBABILITIES, "t1_us", "t2_us")  # the options of which one makes a parametric model
TIMES = {"gate_time_1q_ns": 1, "gate_time_2q_ns": 2}
COHERENT = ("zz_khz", "overrotation_1q", "overrotation_2q")  # beside a machine, or beside the numbers
NUMBERS = ("noise_scale", *DECLARED, *TIMES, "idle", *COHERENT)  # every option but `noise`

Probability = Annotated[float, Field(ge=0, le=1)]
Time = Annotated[float, Field(gt=0, le=1e9)]
# left out of what is written down, and so of keys, where they are not used: keys of before stay
Excess = Annotated[float, Field(ge=-math.pi, le=math.pi, exclude_if=lambda value: value == 0)]


class NoiseOptions(Entry):
    """The options of a device's noise: a fake backend, or numbers, which can be combined; each is a scalar, so a list is an axis.

    Waits, the static coupling and excess turns go with either.

    Args:
        noise: a machine by its name (see `machines`): fake_manila, torino.json, package.module:callable, aqt:..., iqm:...;
            None for none.
        noise_scale: turns the noise up and down: each probability below (or in the machine's calibration) is multiplied by it, T1
            and T2 are divided by it, `zz_khz` and the over-rotations are multiplied; 0 is the ideal device.
        depolarizing_1q: probability that a gate on one qubit leaves nothing but I/2.
        depolarizing_2q: probability that a gate on two qubits leaves nothing but I/4.
        amplitude_damping: probability that |1> decays to |0> in a gate.
        phase_damping: probability that a gate reveals a qubit's state; coherences shrink by sqrt(1 - probability).
        t1_us: relaxation time T1, microseconds; where only T2 is given, infinite.
        t2_us: dephasing time T2 <= 2 T1, microseconds; where only T1 is given, 2 T1.
        gate_time_1q_ns: duration of a gate on one qubit, nanoseconds, during which T1 and T2 act.
        gate_time_2q_ns: duration of a gate on two qubits, nanoseconds.
        readout_01: probability that a 0 is read as 1.
        readout_10: probability that a 1 is read as 0.
        idle: qubits relax while they wait: the compiled circuit is scheduled, as late as possible, and each wait is thermal
            relaxation by the T1 and T2 of that qubit.
        zz_khz: static coupling, kHz: by how much the frequency of a qubit moves when a coupled one is flipped. Coupled are the
            pairs of the machine's coupling map; by numbers, those on which the compiled circuit has a gate.
        overrotation_1q: radians by which each pulse on one qubit turns too far.
        overrotation_2q: radians by which each gate on two qubits turns too far.
    """

    noise: str | None = None
    noise_scale: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    depolarizing_1q: Probability | None = None
    depolarizing_2q: Probability | None = None
    amplitude_damping: Probability | None = None
    phase_damping: Probability | None = None
    t1_us: Time | None = None
    t2_us: Time | None = None
    gate_time_1q_ns: Annotated[float, Field(ge=0, le=1e9)] = 35.0
    gate_time_2q_ns: Annotated[float, Field(ge=0, le=1e9)] = 300.0
    readout_01: Probability | None = None
    readout_10: Probability | None = None
    idle: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    zz_khz: Annotated[float, Field(ge=-1e5, le=1e5, exclude_if=lambda value: value == 0)] = 0.0
    overrotation_1q: Excess = 0.0
    overrotation_2q: Excess = 0.0

    @field_validator("noise")
    @classmethod
    def _canonical(cls, noise: str | None) -> str | None:
        return None if noise is None else machines.canonical(noise)

    @model_validator(mode="after")
    def _consistent(self) -> NoiseOptions:
        numbers = self.numbers
        if self.noise and numbers:
            raise DeviceError(f"{self.noise} and {', '.join(numbers)} together", where="noise", valid="one of the two")
        if not self.noisy and "noise_scale" in self.changed:
            valid = f"beside noise, {', '.join((*DECLARED, *COHERENT))}"
            raise DeviceError("noise_scale without noise", where="noise_scale", valid=valid)
        lives = self.t1_us is not None or self.t2_us is not None
        if self.idle and not (self.noise or lives):
            raise DeviceError("idle without a machine, t1_us or t2_us has no effect", where="idle", valid="beside one of them")
        timed = lives or (self.zz_khz and not self.noise)
        if not timed and (times := [name for name in TIMES if name in self.changed]):
            raise DeviceError(f"{times[0]} without t1_us, t2_us or zz_khz has no effect", where=times[0])
        if self.t1_us and self.t2_us and self.t2_us > 2 * self.t1_us:
            raise DeviceError(f"t2_us {self.t2_us:g}", where="t2_us", valid=f"up to 2 t1_us = {2 * self.t1_us:g}")
        for name in PROBABILITIES:
            if numbers.get(name, 0) * self.noise_scale > 1:
                what = f"noise_scale {self.noise_scale:g} takes {name} {numbers[name]:g} above 1"
                raise DeviceError(what, where="noise_scale", valid=f"0 to {1 / numbers[name]:.3g}")
        return self

    @property
    def changed(self) -> dict[str, float]:
        """The numbers that differ from their defaults."""
        fields = NoiseOptions.model_fields
        return {name: getattr(self, name) for name in NUMBERS if getattr(self, name) != fields[name].default}

    @property
    def numbers(self) -> dict[str, float]:
        """The parametric errors that are declared, by option."""
        return {name: value for name, value in self.changed.items() if name in DECLARED}

    @property
    def noisy(self) -> bool:
        """Whether anything is declared, be it with probability 0: it decides what the circuit is compiled to."""
        return self.noise is not None or bool(self.numbers) or any(getattr(self, name) for name in COHERENT)

    @property
    def extras(self) -> Extras:
        """What acts beside the errors after gates, scaled."""
        turns = self.overrotation_1q * self.noise_scale, self.overrotation_2q * self.noise_scale
        return Extras(self.idle, self.zz_khz * self.noise_scale, turns)

    def noise_model(self) -> Noise | None:
        """The noise; None where nothing is declared, or nothing of it is left."""
        if self.noise_scale == 0 or not self.noisy:
            return None
        if self.noise is not None:
            return machines.machine(self.noise, self.noise_scale)
        found = self._by_numbers(self.noise_scale)
        return None if found.silent and not self.extras else found

    def check_noise(self, compiled: Any) -> None:
        """Refuse declared noise that does not act on a transpiled circuit; also at scale 0, which is one point of an axis.

        Raises:
            DeviceError: see `Noise.check`, `running.check`.
        """
        if not self.noisy:
            return
        there = self if self.noise_scale else self.model_copy(update={"noise_scale": 1.0})
        scale = there.noise_scale
        noise = machines.machine(self.noise, scale) if self.noise else self._by_numbers(scale)
        noise.check(compiled)
        running.check(compiled, noise, there.extras)

    def _by_numbers(self, scale: float) -> Parametric:
        durations = self.gate_time_1q_ns / 1000, self.gate_time_2q_ns / 1000
        return _parametric(tuple(self.numbers.items()), durations, scale)


class Parametric(Noise):
    """The same errors after each gate of as many qubits, on any qubits.

    Args:
        numbers: options of `NoiseOptions` that are declared, and their values.
        durations: of a gate on one and on two qubits, microseconds.
        scale: `noise_scale`, above 0.
    """

    def __init__(self, numbers: dict[str, float], durations: tuple[float, float], scale: float = 1.0) -> None:
        self.numbers, self.durations, self.scale = numbers, durations, scale
        self._errors = {arity: self._error(arity) for arity in (1, 2)}
        flips = [self._probability("readout_01"), self._probability("readout_10")]
        self._assignment = np.array([[1 - flips[0], flips[0]], [flips[1], 1 - flips[1]]]) if any(flips) else None

    @property
    def silent(self) -> bool:
        """Whether nothing ever goes wrong."""
        return self._assignment is None and all(error is None for error in self._errors.values())

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """See `Noise.error`."""
        return self._errors[len(qubits)] if gate in NOISY else None

    def assignment(self, qubit: int) -> np.ndarray | None:
        """See `Noise.assignment`."""
        return self._assignment

    def duration(self, gate: str, qubits: tuple[int, ...]) -> float | None:
        """See `Noise.duration`; all wires are read together, at the end, which takes no time that anybody waits for."""
        return 0.0 if gate in (*FRAMES, "measure") else self.durations[len(qubits) - 1] / 1e6

    def wait(self, qubit: int, seconds: float) -> Any:
        """See `Noise.wait`."""
        return self._relaxed(1e6 * seconds)

    def check(self, compiled: Any) -> None:
        """See `Noise.check`."""
        arities = {NOISY[name] for name in compiled.count_ops() if name in NOISY}
        for name in (name for name, value in self.numbers.items() if value and not name.startswith("readout")):
            acts = self._acts(name)
            if not acts & arities:
                gates = " or ".join(f"{arity}-qubit gate" for arity in sorted(acts)) or "gate that takes time"
                what = f"{name} would never fire: {compiled.name} compiles to no {gates} among {', '.join(NOISY)}"
                raise DeviceError(what, where=name, valid="leave it out for this circuit")

    def _acts(self, name: str) -> set[int]:
        """On gates of how many qubits an option acts."""
        if name.startswith("depolarizing"):
            return {int(name[-2])}
        return {arity for arity in (1, 2) if self.durations[arity - 1]} if name in ("t1_us", "t2_us") else {1, 2}

    def _probability(self, name: str) -> float:
        return self.numbers.get(name, 0.0) * self.scale

    def _error(self, arity: int) -> Any:
        """What follows a gate on `arity` qubits; None for nothing."""
        library = require("qiskit_aer.noise", "qiskit-aer")
        depolarizing = self._probability(f"depolarizing_{arity}q")
        parts = [library.depolarizing_error(depolarizing, arity)] if depolarizing else []
        parts += [error if arity == 1 else error.tensor(error) for error in self._single(library, self.durations[arity - 1])]
        return functools.reduce(lambda done, error: done.compose(error), parts) if parts else None

    def _single(self, library: Any, duration: float) -> Iterator[Any]:
        """What happens to each qubit of a gate of `duration`, microseconds."""
        if amplitude := self._probability("amplitude_damping"):
            yield library.amplitude_damping_error(amplitude, canonical_kraus=False)  # the canonical form rounds
        if phase := self._probability("phase_damping"):
            yield library.phase_damping_error(phase, canonical_kraus=False)
        if duration and (relaxed := self._relaxed(duration)) is not None:
            yield relaxed

    def _relaxed(self, duration: float) -> Any:
        """What T1 and T2 do in a time, microseconds; None without them."""
        if not {"t1_us", "t2_us"} & set(self.numbers):
            return None
        t1 = self.numbers.get("t1_us", math.inf)
        return relaxation(t1 / self.scale, self.numbers.get("t2_us", 2 * t1) / self.scale, duration)


@functools.lru_cache(maxsize=64)
def _parametric(numbers: tuple[tuple[str, float], ...], durations: tuple[float, float], scale: float) -> Parametric:
    """One object for equal options, so that what is derived from it is derived once."""
    return Parametric(dict(numbers), durations, scale)
