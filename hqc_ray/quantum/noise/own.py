"""Machines that are not in IBM's table: a user's own `package.module:callable`, and the simulators that AQT and IQM ship."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hqc_ray.entries import lookup
from hqc_ray.errors import DeviceError, unknown
from hqc_ray.guard import guarded, wrong
from hqc_ray.quantum.noise.base import require
from hqc_ray.quantum.noise.carried import carried
from hqc_ray.quantum.noise.targeted import readouts

AQT = "offline_simulator_noise"
DIGITS = 8
SAME = "the same at every call: a seed for what is random"
_seen: set[str] = set()  # names whose machine was the same twice in this process


def canonical(name: str) -> str:
    """A user's `package.module:callable` with the digest of the machine that it gives, or a machine of `VENDORS`.

    Raises:
        DeviceError: no such name, a package that is not installed, or a callable that gives no machine, or another one each time.
    """
    vendor, _, machine = name.partition(":")
    if vendor in VENDORS:
        names = VENDORS[vendor][0]()
        if machine not in names:
            raise unknown("machine", name, [f"{vendor}:{one}" for one in names], DeviceError, "noise")
        return name
    if name in _seen:
        return name
    plain, _, wanted = name.partition("@")
    digests = [_digest(_called(plain)) for _ in range(2)]
    if digests[0] != digests[1]:
        raise wrong("backend", plain, "gives another machine each time it is called", DeviceError, valid=SAME)
    _refuse_another(plain, digests[0], wanted)
    _seen.add(f"{plain}@{digests[0]}")
    return f"{plain}@{digests[0]}"


def backend(name: str) -> Any:
    """The backend with this canonical name.

    Raises:
        DeviceError: the callable gives another machine than when it was named.
    """
    vendor, _, machine = name.partition(":")
    if vendor in VENDORS:
        return VENDORS[vendor][1](machine)
    plain, _, wanted = name.partition("@")
    made = _called(plain)
    _refuse_another(plain, _digest(made), wanted)
    return made


def _refuse_another(name: str, found: str, wanted: str) -> None:
    if wanted and found != wanted:
        raise wrong("backend", name, "gives another machine than before", DeviceError, valid=SAME)


def _called(name: str) -> Any:
    """What a user's callable gives, if it is a machine.

    Raises:
        DeviceError: whatever it raises, or gives that is no BackendV2 with a target of numbers.
    """
    from qiskit.providers import BackendV2

    require("qiskit", "qiskit")
    make = lookup("backend", {}, name, DeviceError)
    valid = "a function, or a class, that takes nothing and gives a BackendV2 of Qiskit's"
    if not callable(make):
        raise wrong("backend", name, f"is a {type(make).__name__}, and no callable", DeviceError, valid=valid)
    with guarded("backend", name, DeviceError, to="call", valid=valid, by=make), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make()
        if not isinstance(made, BackendV2):
            raise wrong("backend", name, f"gives a {type(made).__name__}, and no BackendV2", DeviceError, make, valid)
        hash(made)  # by which circuits that were compiled for it are found again
        if not made.num_qubits:
            raise wrong("backend", name, "has a target without a number of qubits", DeviceError, make, "Target(num_qubits=...)")
        for what in _unphysical(made.target):
            raise wrong("backend", name, what, DeviceError, make, "errors from 0 to 1, times from 0 (T1, T2 above)")
    return made


def _unphysical(target: Any) -> Iterator[str]:
    """What is wrong with the numbers of a target."""
    for gate, qubits, properties in _instructions(target):
        at = f"{gate} on {list(qubits) if qubits else 'any qubits'}"
        if properties.error is not None and not 0 <= properties.error <= 1:
            yield f"has an error of {properties.error:g} of {at}"
        if properties.duration is not None and not 0 <= properties.duration < math.inf:
            yield f"has a duration of {properties.duration:g} s of {at}"
    for number, matrix in readouts(target):
        if not ((matrix >= 0) & (matrix <= 1)).all():
            yield f"misreads qubit {number} with probabilities {matrix[0, 1]:g} and {matrix[1, 0]:g}"
    for number, qubit in enumerate(target.qubit_properties or ()):
        for time in ("t1", "t2"):
            value = getattr(qubit, time, None)
            if value is not None and not value > 0:
                yield f"has {time.upper()} {value:g} s of qubit {number}"


def _instructions(target: Any) -> Iterator[tuple[str, Any, Any]]:
    """The name, the qubits and the properties of every instruction that has properties."""
    for gate in target.operation_names:
        for qubits, properties in (target[gate] or {}).items():
            if properties is not None:
                yield gate, qubits, properties


def _digest(backend: Any) -> str:
    """Of all numbers that circuits are compiled with and noise is derived from."""
    target, model = backend.target, carried(backend)
    gates = {gate: [sorted(map(repr, target[gate] or {})), _fixed(target, gate)] for gate in sorted(target.operation_names)}
    numbers = sorted((gate, repr(qubits), p.duration, p.error) for gate, qubits, p in _instructions(target))
    lives = [(getattr(q, "t1", None), getattr(q, "t2", None)) for q in target.qubit_properties or ()]
    read = sorted((number, matrix.tolist()) for number, matrix in readouts(target))
    plain = [target.num_qubits, target.dt, gates, numbers, lives, read, _of_model(model) if model else None]
    return hashlib.sha256(json.dumps(plain, default=_plain).encode()).hexdigest()[:DIGITS]


def _fixed(target: Any, gate: str) -> list[str]:
    """The parameters of a gate: numbers where they are fixed."""
    operation = target.operation_from_name(gate)  # of control flow a class
    return [] if isinstance(operation, type) else [repr(parameter) for parameter in operation.params]


def _plain(value: Any) -> Any:
    """What JSON does not know, with all digits."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [value.real, value.imag] if isinstance(value, complex) else repr(value)


def _of_model(model: Any) -> Any:
    """A noise model without the ids that are drawn anew for each of its errors."""
    return [{k: v for k, v in error.items() if k != "id"} for error in model.to_dict()["errors"]]


@functools.cache
def _simulated() -> type:
    from qiskit.providers import BackendV2, Options

    class Simulated(BackendV2):
        """A target by its name: circuits are compiled for it, and never run on it."""

        def __init__(self, name: str, target: Any, noise_model: Any) -> None:
            super().__init__(name=name)
            self._own, self.noise_model = target, noise_model

        @property
        def target(self) -> Any:
            return self._own

        @property
        def max_circuits(self) -> None:
            return None

        @classmethod
        def _default_options(cls) -> Any:
            return Options()

        def run(self, run_input: Any, **options: Any) -> Any:
            raise NotImplementedError

    return Simulated


def simulated(name: str, target: Any, noise_model: Any = None) -> Any:
    """A backend that is a target, and the noise model that it carries, where the target has no errors."""
    return _simulated()(name, target, noise_model)


def _aqt(machine: str) -> Any:
    """AQT's offline simulator; compiled by its target, as its own last stage wants circuits without open parameters."""
    offline = require("qiskit_aqt_provider.aqt_provider", "qiskit-aqt-provider").AQTProvider().offline.noisy()
    return simulated(f"aqt:{machine}", offline.target, offline.simulator.options.noise_model)


def _iqm_known() -> dict[str, Callable[[], Any]]:
    """IQM's fake machines by their plain names."""
    fakes, prefix = require("iqm.qiskit_iqm.fake_backends", "iqm-client[qiskit]"), "IQMFake"
    names = [name for name in dir(fakes) if name.startswith(prefix) and name != f"{prefix}Backend"]
    return {name.removeprefix(prefix).lower(): getattr(fakes, name) for name in names}


def _iqm(machine: str) -> Any:
    fake = _iqm_known()[machine]()
    if fake.has_resonators():
        raise DeviceError(
            f"iqm:{machine} moves qubits into resonators", where="noise", valid="a machine whose qubits are coupled"
        )
    made = simulated(f"iqm:{machine}", fake.target, fake.noise_model)
    made.scaled = lambda scale: fake.copy_with_error_profile(_profile(fake.error_profile, scale)).noise_model
    return made


def _profile(profile: Any, scale: float) -> Any:
    """IQM's numbers, scaled as those of any machine: errors times `scale`, lives over it."""
    times = {name: {q: time / scale for q, time in getattr(profile, name).items()} for name in ("t1s", "t2s")}
    per_gate = (
        "single_qubit_gate_depolarizing_error_parameters",
        "two_qubit_gate_depolarizing_error_parameters",
        "readout_errors",
    )
    errors: Mapping[str, Any] = {
        name: {gate: {at: error * scale for at, error in each.items()} for gate, each in getattr(profile, name).items()}
        for name in per_gate
    }
    return replace(profile, **times, **errors)


VENDORS: dict[str, tuple[Callable[[], Any], Callable[[str], Any]]] = {
    "aqt": (lambda: [AQT], _aqt),
    "iqm": (_iqm_known, _iqm),
}
