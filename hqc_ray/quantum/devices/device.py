"""What all devices have in common: a frozen entry that turns (circuit, weights, angles) into outcome probabilities."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from hqc_ray.entries import Entry, Seed
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.guard import wrong
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import parity
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.ideal.sampling import sample
from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.noise.mitigation import Recipe
from hqc_ray.seeds import rng, stream

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.quantum.devices import shift
    from hqc_ray.quantum.devices.qiskit import Compiled
    from hqc_ray.quantum.ideal import simulate
else:
    torch = later("torch")
    shift, simulate = later("hqc_ray.quantum.devices.shift"), later("hqc_ray.quantum.ideal.simulate")

Kind = Literal["ideal", "noisy", "measured"]
Layout = Annotated[Literal["qiskit", "best"], Field(exclude_if=lambda value: value == "qiskit")]  # keys of before stay
MAX_SHOTS = 1_000_000_000  # of one circuit
ROUNDING = 1e-5  # of probabilities that are computed in float32
_COMPARED: dict[tuple[type, str], Kind] = {}


class Device(Entry):
    """Evaluates circuits in batches, exactly or by shots. One that mitigates gives quasi-probabilities, see `quasi`.

    A class in the table, and a user's own, states what it is:
        name: as sweep files say it, and labels begin; that of the class, where it has none.
        title: for readers; the name, where a class has none.
        packages: what `pip install` brings it; the version of the first one is shown.
        examples: options that the contract tests run it with.
        exactness: "measured" where `run` itself returns frequencies and there is no exact twin.

    Args:
        shots: samples of each circuit, up to `MAX_SHOTS`; None for exact probabilities.
        seed: of the samples: equal seeds give equal samples of equal circuits, whatever else is in the batch.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    exactness: ClassVar[Literal["exact", "measured"]] = "exact"
    shots: Annotated[int, Field(ge=1, le=MAX_SHOTS)] | None = None
    seed: Seed = 0

    def __init_subclass__(cls, **options: Any) -> None:
        """Without a name, that of the class is one; without a title, the name."""
        super().__init_subclass__(**options)
        cls.name = getattr(cls, "name", cls.__name__)
        cls.title = cls.title or cls.name

    @property
    def kind(self) -> Kind:
        """Whether its probabilities are those of the ideal circuit, of a noisy machine, or frequencies counted on a machine.

        A device without shots is compared with the ideal circuit, on a test circuit, once per process.

        Raises:
            DeviceError: it cannot run the test circuit.
        """
        if self.exactness == "measured":
            return "measured"
        twin = self.exact()
        key = type(self), repr(twin)
        if key not in _COMPARED:
            _COMPARED[key] = "ideal" if parity.deviation(twin) < parity.EQUAL else "noisy"
        return _COMPARED[key]

    @classmethod
    def look(cls) -> str:
        """What there is to know of this device on this machine, where its packages are installed; cheap, and connects to nothing.

        Raises:
            DeviceError: why it cannot be used here.
        """
        cls(**cls.examples[0]).check(parity.asymmetric())
        return ""

    @abstractmethod
    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Exact outcome probabilities [N, 2**Q] of weights [W], angles [N, Q], radians; wire 0 is the leftmost bit."""

    def tabulate(self, circuit: Circuit, weights: np.ndarray, axis: np.ndarray) -> np.ndarray:
        """What `run` returns on a grid, [P**Q, 2**Q], by the fastest exact way that the device has; angle 0 slowest.

        Args:
            circuit: Q wires, W weights.
            weights: [W].
            axis: [P] radians, the values that every angle takes.
        """
        return self.run(circuit, weights, combinations(axis, circuit.n_qubits))

    def check(self, circuit: Circuit) -> None:
        """Raise the errors of `probabilities` before anything is computed.

        Raises:
            DeviceError: the device cannot run `circuit`.
        """

    def n_jobs(self, circuits: int) -> int:
        """The number of jobs in which `circuits` circuits are sent to a machine; 0 where nothing is sent."""
        return 0

    def prepare(self, circuit: Circuit) -> None:
        """`check`, and what only the device's own service can tell; called once per circuit when a sweep starts.

        Raises:
            DeviceError: the device cannot be reached, or cannot run `circuit`.
        """
        self.check(circuit)

    def check_input(self, circuit: Circuit, weights: Tensor, angles: Tensor) -> None:
        """`check`, and the shapes and values of weights [W], angles [B, Q]; raises what `probabilities` raises."""
        _check_values("weights", weights, (circuit.n_weights,), circuit)
        _check_values("angles", angles, (len(angles) if angles.ndim else 0, circuit.n_qubits), circuit)
        self.check(circuit)

    def facts(self, circuit: Circuit) -> CompiledFacts:
        """What the device makes of `circuit`; as it is written, where nothing is compiled."""
        return CompiledFacts.written(circuit)

    def executed(self, circuit: Circuit, weights: Tensor) -> CompiledFacts:
        """`facts` of the circuit as it ran with weights [W]: on a machine that measures once, as it was compiled then."""
        return self.facts(circuit)

    @property
    def quasi(self) -> bool:
        """Whether its probabilities are quasi-probabilities, which may be negative: it mitigates."""
        return False

    def mitigated(self, circuit: Circuit) -> tuple[tuple[Device, ...], Recipe] | None:
        """The K devices that it runs `circuit` on, and what it makes of what they read; None where it mitigates nothing."""
        return None

    def counted(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, Recipe | None]:
        """Of a measured device: frequencies [K, N, 2**Q] as they are read, and what it makes of them (None: nothing).

        Args:
            circuit: Q wires, W weights.
            weights: [W].
            angles: [N, Q], radians.
        """
        return self.run(circuit, weights, angles)[None], None

    @property
    def caveat(self) -> str:
        """What its name promises and it does not do, for a plan; empty: nothing."""
        return ""

    @property
    def estimates(self) -> bool:
        """Whether it gives expectations, and their standard errors, in place of outcomes: see `estimated`."""
        return False

    def estimated(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Of a measured device that `estimates`: <Z> of every wire and its standard errors, [2, N, Q]; arguments of `counted`."""
        raise NotImplementedError

    @property
    def runs(self) -> int:
        """Circuits of one evaluation: one for each scale of its noise."""
        return 1

    @property
    def calibrations(self) -> int:
        """Calibration circuits of its readout, which a sampled device runs once per evaluation of all images."""
        return 0

    def noisy_program(self, circuit: Circuit) -> tuple[Compiled, Noise] | None:
        """The compiled circuit and the noise after its gates, which a noisy layer is trained with; None where there is none."""
        return None

    @property
    def label(self) -> str:
        """The name and what differs from its defaults: 'qiskit.aer[fake_manila,shots=4096]'."""
        extras = [*self._tags(), *([f"shots={self.shots}"] if self.shots else []), *([f"seed={self.seed}"] if self.seed else [])]
        return self.name + (f"[{','.join(extras)}]" if extras else "")

    def _tags(self) -> list[str]:
        """The options that tell it from others of its name: those that differ from their defaults."""
        fields = type(self).model_fields.items()
        changed = {k: getattr(self, k) for k, f in fields if getattr(self, k) != f.get_default(call_default_factory=True)}
        return [f"{key}={value}" for key, value in changed.items() if key not in ("shots", "seed")]

    def exact(self) -> Self:
        """The same device without shots; a measured one has no such twin and is its own."""
        return self.model_copy(update={"shots": None})

    def drawn(self, k: int) -> Self:
        """The same device with the seed of the k-th independent draw; itself for k = 0."""
        return self.model_copy(update={"seed": stream(self.seed, "draw", k)}) if k else self

    def probabilities(self, circuit: Circuit, weights: Tensor, angles: Tensor) -> Tensor:
        """Outcome probabilities [B, 2**Q] float64 of weights [W], angles [B, Q], radians; wire 0 is the leftmost bit.

        Differentiable in both by the parameter-shift rule; with shots, frequencies of samples.

        Raises:
            CircuitError: shapes that do not fit the circuit, or values that are not finite.
            DeviceError: the device cannot run the circuit.
        """
        self.check_input(circuit, weights, angles)
        if len(angles) == 0:
            return angles.new_zeros(0, 2**circuit.n_qubits, dtype=torch.float64)
        return shift.Shifted.apply(weights, angles, circuit, self._evaluate)

    def without_noise(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray | None:
        """Probabilities [N, 2**Q] of what it runs for `circuit`, but for the noise; None where that cannot be told apart.

        They are to be those of the ideal circuit, which models are trained with.
        """
        return self.checked(self.run(circuit, weights, angles), circuit, len(angles)) if self.kind == "ideal" else None

    def checked(self, found: np.ndarray, circuit: Circuit, n: int) -> np.ndarray:
        """What a device, also a user's own, gives for `n` circuits, if it is probabilities [n, 2**Q].

        Raises:
            DeviceError: another type or shape, or numbers that are no probabilities.
        """
        if not isinstance(found, np.ndarray):
            raise self._wrong(f"gives {type(found).__name__}")
        if found.dtype != np.float64 or found.shape != (n, 2**circuit.n_qubits):
            raise self._wrong(f"gives {found.dtype}{list(found.shape)} for {n} circuits of {circuit.n_qubits} qubits")
        if not np.isfinite(found).all():
            raise self._wrong("gives NaN or infinity")
        if n and ((found.min() < -ROUNDING and not self.quasi) or np.abs(found.sum(-1) - 1).max() > ROUNDING):
            raise self._wrong(f"gives {found.min():.3g} to {found.max():.3g}, which add up to {found.sum(-1)[0]:.3g}")
        return found

    def _wrong(self, what: str) -> DeviceError:
        valid = "probabilities, a float64 array [N, 2**Q]"
        return wrong(
            "device", f"{type(self).__module__}:{type(self).__qualname__}", f"run {what}", DeviceError, type(self).run, valid
        )

    def expectations(self, circuit: Circuit, weights: Tensor, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q] float64 of weights [W], angles [B, Q], radians; raises what `probabilities` raises."""
        return self.probabilities(circuit, weights, angles) @ simulate.z_signs(circuit.n_qubits).to(angles.device)

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        exact = self.checked(self.run(circuit, weights, angles), circuit, len(angles))
        if self.shots is None:
            return exact
        streams = [rng(self.seed, "shots", circuit.digest, digest(weights, row)) for row in angles]
        return np.stack([sample(row, self.shots, stream) for row, stream in zip(exact, streams, strict=True)])


def combinations(axis: np.ndarray, n_qubits: int) -> np.ndarray:
    """[P**Q, Q]: all combinations of the values `axis` [P], wire 0 slowest."""
    return np.stack(np.meshgrid(*[axis] * n_qubits, indexing="ij"), -1).reshape(-1, n_qubits)


def digest(*arrays: np.ndarray) -> str:
    """32 hexadecimal digits of the content of arrays."""
    return hashlib.blake2b(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays), digest_size=16).hexdigest()


def _check_values(what: str, values: Tensor, shape: tuple[int, ...], circuit: Circuit) -> None:
    if tuple(values.shape) != shape:
        valid = f"[B, {shape[1]}]" if len(shape) == 2 else f"[{shape[0]}]"
        raise CircuitError(f"{what} of shape {list(values.shape)}", where=repr(circuit), valid=valid)
    if not bool(torch.isfinite(values).all()):
        raise CircuitError(f"{what} hold NaN or infinity", where=repr(circuit), valid="finite radians")
