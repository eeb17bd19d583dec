"""Devices that mitigate the errors of their noise: several runs of a circuit, combined."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.device import Device, digest
from hqc_ray.quantum.ideal.sampling import sample
from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.noise.mitigation import CALIBRATIONS, Mitigation, Recipe, recipe
from hqc_ray.quantum.noise.parametric import NoiseOptions
from hqc_ray.seeds import rng


class Mitigating(Device):
    """A device with errors, and with what is done about them.

    Args:
        mitigation: what is done about the noise, see `noise.mitigation`: {readout: true, zne: [1, 1.5, 2]}; None: nothing.
    """

    mitigation: Annotated[Mitigation | None, Field(exclude_if=lambda value: value is None)] = None

    @property
    def quasi(self) -> bool:
        """See `Device.quasi`."""
        return self.mitigation is not None

    @property
    def runs(self) -> int:
        """See `Device.runs`."""
        return len(self.mitigation.scales) if self.mitigation else 1

    @property
    def calibrations(self) -> int:
        """See `Device.calibrations`."""
        return CALIBRATIONS if self.mitigation and self.mitigation.readout else 0

    @property
    def estimates(self) -> bool:
        """See `Device.estimates`."""
        return self.mitigation is not None and self.mitigation.estimator

    def _of_mitigation(self) -> list[str]:
        """What its label says of it."""
        return [f"mitigation={self.mitigation.label}"] if self.mitigation else []


class Scaled(NoiseOptions, Mitigating):
    """A simulated device, whose noise can be scaled; its readout errors scale along, so each scale has its calibration."""

    @abstractmethod
    def _layout(self, circuit: Circuit) -> list[int]:
        """The physical qubit that each wire is read from."""

    @model_validator(mode="after")
    def _mitigable(self) -> Self:
        """There is noise to mitigate, at every scale that is asked for."""
        if self.mitigation is None:
            return self
        if self.mitigation.estimator:
            valid = "readout and zne in its place, or the device ibm"
            raise DeviceError("only IBM's Estimator has levels", where="mitigation.resilience_level", valid=valid)
        if not self.noisy or self.noise_scale == 0 or not (self.noise or self.noise_model()):
            raise DeviceError("mitigation on an ideal device", where="mitigation", valid="beside noise that acts")
        try:
            self.scaled()
        except DeviceError as problem:
            raise DeviceError(f"among {list(self.mitigation.scales)}: {problem.what}", where="mitigation.zne") from problem
        return self

    def scaled(self) -> tuple[Self, ...]:
        """The device without its mitigation, at each of K scales; without shots."""
        own = {**self.model_dump(), "mitigation": None, "shots": None, "seed": 0}
        scales = self.mitigation.scales if self.mitigation else (1.0,)
        return tuple(type(self)(**{**own, "noise_scale": self.noise_scale * scale}) for scale in scales)

    def mitigated(self, circuit: Circuit) -> tuple[tuple[Device, ...], Recipe] | None:
        """See `Device.mitigated`; the readout is that of the noise at each scale."""
        if self.mitigation is None:
            return None
        found, layout = self.scaled(), self._layout(circuit)
        assignments = np.array([[_assignment(device.noise_model(), qubit) for qubit in layout] for device in found])
        return found, recipe(self.mitigation, assignments)

    @property
    def calibrations(self) -> int:
        """See `Device.calibrations`."""
        return self.runs * super().calibrations

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device`; with shots, each circuit is sampled at each scale, and the readout calibrated once."""
        if self.shots is None or (parts := self.mitigated(circuit)) is None:
            return super()._evaluate(circuit, weights, angles)
        read = []
        for scale, device in enumerate(parts[0]):
            exact = device.run(circuit, weights, angles)
            streams = [rng(self.seed, "shots", circuit.digest, digest(weights, row), "scale", scale) for row in angles]
            read.append([sample(row, self.shots, stream) for row, stream in zip(exact, streams, strict=True)])
        calibrated = parts[1].calibrated(self.shots, rng(self.seed, "calibration", circuit.digest, digest(weights)))
        return parts[1].combined(np.array(read), calibrated)


def _assignment(noise: Noise | None, qubit: int) -> np.ndarray:
    """The assignment matrix [2, 2] of a physical qubit; the identity where it is read without error."""
    found = noise.assignment(qubit) if noise else None
    return np.eye(2) if found is None else found
