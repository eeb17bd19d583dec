"""A circuit with fixed weights on a device, as an exact torch function of the angles.

Every outcome probability is a trigonometric polynomial in each angle, of the degree with which the angle enters, also on a noisy
device; so its values on a grid of (2 degree + 1)^Q points determine it (Schreiber, Eisert, Meyer, PRL 131, 100803, 2023).
A machine that only counts shots gives these values with a statistical error, which propagates to every angle with squared weights
that sum to 1: it is never larger than that of one direct measurement with the same shots, 1 / sqrt(shots).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.errors import CircuitError, ResultsError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.sizes import n_checks, refuse_large
from hqc_ray.quantum.cores.waves import equidistant, grid, product, trig_features
from hqc_ray.quantum.ideal.sampling import sample, sample_expectations
from hqc_ray.quantum.ideal.simulate import z_signs
from hqc_ray.seeds import rng

if TYPE_CHECKING:
    from hqc_ray.quantum.devices import Device
    from hqc_ray.quantum.noise.mitigation import Recipe

TOLERANCE = 1e-8  # a fit on an exact device is at 1e-14; whatever is above this is another function


class Surrogate(nn.Module):
    """<Z> of every wire as a function of the angles; buffers only, so that `state_dict` holds all of it.

    Exact, unless `measured`: then it carries the shot noise of its fit, see `standard_error` and `replicate`.

    Args:
        n_qubits: Q.
        degree: how often an angle enters the circuit.
    """

    coefficients: Tensor  # [(2 degree + 1)**Q, 2**Q] float64, of the outcome probabilities
    readout: Tensor  # [(2 degree + 1)**Q, Q] float64, of <Z>
    error: Tensor  # [] float64
    shots: Tensor  # [] float64, of each circuit of a measured fit; 0 for an exact one
    stochastic: ClassVar[bool] = False

    def __init__(self, n_qubits: int, degree: int = 1) -> None:
        super().__init__()
        self.n_qubits, self.degree = n_qubits, degree
        features = (2 * degree + 1) ** n_qubits
        self.register_buffer("coefficients", torch.zeros(features, 2**n_qubits, dtype=torch.float64))
        self.register_buffer("readout", torch.zeros(features, n_qubits, dtype=torch.float64))
        self.register_buffer("error", torch.tensor(math.inf, dtype=torch.float64))
        self.register_buffer("shots", torch.tensor(0.0, dtype=torch.float64))

    @property
    def max_error(self) -> float:
        """Largest difference between the device's probabilities and these, at fresh random angles; their shot noise included."""
        return float(self.error)

    @property
    def measured(self) -> bool:
        """Whether the values on the grid are frequencies of shots."""
        return float(self.shots) > 0

    @property
    def quasi(self) -> bool:
        """Whether its probabilities are quasi-probabilities: the device mitigates. Expectations may leave [-1, 1]."""
        return False

    @property
    def evaluations(self) -> int:
        """How many circuits the device ran for the fit and its check."""
        return len(self.coefficients) + n_checks(self.n_qubits, self.measured)

    def set_values(self, values: Tensor) -> None:
        """Determine the coefficients from outcome probabilities [(2 degree + 1)**Q, 2**Q] on `grid`."""
        self.coefficients.copy_(self._along_wires(self._axis().inverse(), values.to(self.coefficients)))
        self.readout.copy_(self.coefficients @ z_signs(self.n_qubits).to(self.coefficients))

    def values(self) -> Tensor:
        """The outcome probabilities [(2 degree + 1)**Q, 2**Q] on `grid` that determined the coefficients."""
        return self._along_wires(self._axis(), self.coefficients)

    def _axis(self) -> Tensor:
        """The features of one wire on its grid, [2 degree + 1, 2 degree + 1]."""
        return trig_features(grid(1, self.degree), self.degree).to(self.coefficients)

    def _along_wires(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """`matrix` [2 degree + 1, 2 degree + 1] applied to every wire's axis of `rows` [(2 degree + 1)**Q, N]."""
        tensor = rows.reshape(*[len(matrix)] * self.n_qubits, -1)
        for axis in range(self.n_qubits):
            tensor = torch.tensordot(matrix, tensor, dims=([1], [axis])).movedim(0, axis)
        return tensor.reshape(rows.shape)

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        return (self._features(angles) @ self.readout.to(_working(angles.dtype))).to(angles.dtype)

    def probabilities(self, angles: Tensor) -> Tensor:
        """Outcome probabilities [B, 2**Q], in the dtype of angles [B, Q], radians."""
        return (self._features(angles) @ self.coefficients.to(_working(angles.dtype))).to(angles.dtype)

    def sample(self, angles: Tensor, shots: int, generator: torch.Generator) -> Tensor:
        """<Z> of every wire [B, Q] from `shots` fresh samples, in the dtype of angles [B, Q]; no gradient."""
        return self.samples(angles, shots, generator, 1)[0]

    def samples(
        self, angles: Tensor, shots: int, generator: torch.Generator, repeats: int, replicas: torch.Generator | None = None
    ) -> Tensor:
        """`sample` several times, [repeats, B, Q]; with `replicas`, once from each of as many replicates that it draws."""
        with torch.no_grad():
            own, drawn = self.probabilities(angles.double()), []
            for _ in range(repeats):
                given = own if replicas is None else self.replicate(replicas).probabilities(angles.double())
                drawn.append(sample_expectations(given, shots, generator))
            return torch.stack(drawn).to(angles.dtype)

    def frequencies(self, angles: Tensor, shots: int, generator: np.random.Generator) -> np.ndarray:
        """What one evaluation by `shots` of each circuit gives, [B, 2**Q] at angles [B, Q], radians."""
        with torch.no_grad():
            return sample(self.probabilities(angles.double()).cpu().numpy(), shots, generator)

    def expectations(self, read: Tensor) -> Tensor:
        """<Z> of every wire [B, Q] of what `frequencies` gives."""
        return read @ z_signs(self.n_qubits).to(read.device)

    def standard_error(self, angles: Tensor) -> Tensor:
        """Of <Z> of every wire [B, Q] float64 at angles [B, Q], radians, by the shots of the fit; 0 where the fit is exact.

        <Z> is a sum of the independent measurements on the grid, each times a product of one weight per wire; their multinomial
        variances add up with the squares. Laplace's rule keeps a grid point whose shots all agree from counting as certain.
        """
        if not self.measured:
            return torch.zeros(len(angles), self.n_qubits, dtype=torch.float64, device=angles.device)
        return self._variance(self.values(), angles).sqrt()

    def _variance(self, values: Tensor, angles: Tensor) -> Tensor:
        """Of <Z> [..., B, Q] at angles [B, Q], by the shots of the frequencies [..., (2 degree + 1)**Q, 2**Q] on `grid`."""
        z = values @ z_signs(self.n_qubits).to(self.coefficients)
        return self._carried((1 - (z * self.shots / (self.shots + 2)).square()) / self.shots, angles)

    def _carried(self, variance: Tensor, angles: Tensor) -> Tensor:
        """Of <Z> [..., B, Q] at angles [B, Q], by those of the values [..., (2 degree + 1)**Q, Q] on `grid`."""
        one = angles.to(self.coefficients).reshape(-1, 1)
        squares = (trig_features(one, self.degree) @ self._axis().inverse()).square().reshape(*angles.shape, -1)
        return product(squares) @ variance

    def replicate(self, generator: torch.Generator) -> Surrogate:
        """What another measurement with as many shots could have given: a parametric bootstrap draw; itself, where it is exact.

        What is computed from some tens of replicates scatters as the measured surrogate's shot noise makes it scatter.
        """
        if not self.measured:
            return self
        numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
        drawn = Surrogate(self.n_qubits, self.degree).to(self.coefficients.device)
        drawn.load_state_dict(self.state_dict())
        drawn.set_values(torch.from_numpy(sample(self.values().cpu().numpy(), int(self.shots), numbers)))
        return drawn

    def _features(self, angles: Tensor) -> Tensor:
        return trig_features(angles.to(_working(angles.dtype)), self.degree)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        shots = f", shots={int(self.shots)}" if self.measured else ""
        return f"n_qubits={self.n_qubits}, degree={self.degree}, max_error={self.max_error:.1e}{shots}"


def _working(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def check_angles(n_qubits: int, measured: bool) -> Tensor:
    """[`n_checks`, Q] float64, radians: where a fit is compared with its device."""
    return torch.from_numpy(rng(0, "surrogate").uniform(-math.pi, math.pi, (n_checks(n_qubits, measured), n_qubits)))


def fit(circuit: Circuit, weights: Tensor, device: Device) -> Surrogate:
    """The surrogate of `circuit` with `weights` [W] on `device`; of the exact twin, where the device samples shots.

    A measured device counts the grid and the check in one call; its surrogate is as exact as its shots, see `standard_error`.

    Raises:
        CircuitError: too many qubits for a grid, or the device is no trigonometric polynomial of the circuit's degree.
        DeviceError: the device cannot run the circuit.
    """
    refuse_large(circuit, device.runs)
    twin, weights = device.exact(), weights.detach()
    angles = check_angles(circuit.n_qubits, twin.exactness == "measured")
    twin.check_input(circuit, weights, angles)
    plain = weights.cpu().double().numpy()
    if twin.exactness == "measured":
        return _measured(circuit, plain, twin, angles)
    if (parts := twin.mitigated(circuit)) is not None:
        return _mitigated(circuit, plain, parts, angles)
    fitted = Surrogate(circuit.n_qubits, circuit.degree)
    fitted.set_values(torch.from_numpy(_tabulate(twin, circuit, plain)))
    return _checked(fitted, twin.probabilities(circuit, weights, angles), angles, f"{circuit!r} on {twin.label}")


def _measured(circuit: Circuit, weights: np.ndarray, device: Device, angles: Tensor) -> Surrogate:
    """A fit of what is counted, its check and (where the device mitigates) its calibration in the same call."""
    from hqc_ray.quantum.cores.estimated import Estimated
    from hqc_ray.quantum.cores.mitigated import Mitigated

    points = grid(circuit.n_qubits, circuit.degree)
    both = torch.cat([points, angles]).numpy()
    if device.estimates:
        return Estimated.fitted(circuit, device, torch.from_numpy(device.estimated(circuit, weights, both)), angles)
    read, made = device.counted(circuit, weights, both)
    read = np.stack([device.checked(each, circuit, len(both)) for each in read])
    values, there, shape = torch.from_numpy(read[:, : len(points)]), read[:, len(points) :], (circuit.n_qubits, circuit.degree)
    if made is None:
        fitted, found = Surrogate(*shape), there[0]
        fitted.set_values(values[0])
    else:
        fitted, found = Mitigated(*shape, len(read), 1), made.combined(there)
        fitted.set_read(values, made)
    fitted.shots.fill_(float(device.shots or 0))
    return _checked(fitted, torch.from_numpy(found), angles, f"{circuit!r} on {device.label}")


def _mitigated(circuit: Circuit, weights: np.ndarray, parts: tuple[tuple[Device, ...], Recipe], angles: Tensor) -> Surrogate:
    """A fit on each of the devices that are combined; compiled once."""
    from hqc_ray.quantum.cores.mitigated import Mitigated

    found, (twins, made) = Mitigated(circuit.n_qubits, circuit.degree, len(parts[0])), parts
    found.set_read(torch.from_numpy(np.stack([_tabulate(twin, circuit, weights) for twin in twins])), made)
    there = np.stack([_run(twin, circuit, weights, angles.numpy()) for twin in twins])
    return _checked(found, torch.from_numpy(made.combined(there)), angles, f"{circuit!r} on {twins[0].label}, mitigated,")


def _checked(fitted: Surrogate, there: Tensor, angles: Tensor, what: str) -> Surrogate:
    fitted.error.copy_((there - fitted.probabilities(angles)).abs().max())
    if not (fitted.measured or fitted.max_error < TOLERANCE):
        raise CircuitError(
            f"{what} misses its surrogate by {fitted.max_error:.1e} at random angles",
            valid=f"an exact device (error below {TOLERANCE}); else mode: native",
        )
    return fitted


def _run(device: Device, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
    return device.checked(device.run(circuit, weights, angles), circuit, len(angles))


def _tabulate(device: Device, circuit: Circuit, weights: np.ndarray) -> np.ndarray:
    axis = equidistant(circuit.degree)
    return device.checked(device.tabulate(circuit, weights, axis), circuit, len(axis) ** circuit.n_qubits)


def dumps(fitted: Surrogate, facts: Mapping[str, Any]) -> bytes:
    """The content of a surrogate's file: the surrogate, and plain values (numbers, text, lists of them) that belong to it."""
    buffer, content = io.BytesIO(), {"n_qubits": fitted.n_qubits, "degree": fitted.degree, "state": fitted.state_dict()}
    torch.save({**content, "facts": dict(facts)}, buffer)
    return buffer.getvalue()


def loads(content: bytes) -> tuple[Surrogate, dict[str, Any]]:
    """What `dumps` was given, on the CPU; nothing in `content` is executed.

    Raises:
        ResultsError: something else.
    """
    from hqc_ray.quantum.cores.estimated import Estimated
    from hqc_ray.quantum.cores.mitigated import Mitigated

    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        state, shape = found["state"], (found["n_qubits"], found["degree"])
        if "read" in state:
            fitted: Surrogate = Mitigated(*shape, len(state["read"]), len(state["assignments"]))
        else:
            fitted = (Estimated if "deviations" in state else Surrogate)(*shape)
        fitted.load_state_dict(found["state"])
        return fitted, found["facts"]
    except Exception as problem:  # the reader of a damaged file may raise anything
        raise ResultsError(f"not a surrogate of hqc_ray: {str(problem).partition(chr(10))[0]}") from problem
