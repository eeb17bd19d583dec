"""What a plan asks the rooms: whether a section is valid, and the defaults of the options that it leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, Level, ModelSpec, Section, TrainSpec


class Resolver(Protocol):
    """Validates sections and fills in the options that they leave out."""

    def models(self, models: Iterable[ModelSpec]) -> None:
        """Told of all models of a sweep, before any is resolved: an option that one of them has is no mistake in another."""

    def alone(self, section: Section | None) -> None:
        """Refuses a section whose names or options are wrong whatever the others are; asked where another one is wrong, too."""

    def data(self, data: DataSpec) -> DataSpec:
        """The same, with every option filled in."""

    def model(self, model: ModelSpec, data: DataSpec) -> ModelSpec:
        """The same, with every option of its head and backbone filled in, and no others."""

    def backbone(self, model: ModelSpec) -> ModelSpec:
        """The same, without what belongs to its head."""

    def has_circuit(self, model: ModelSpec) -> bool:
        """Whether its head is a circuit, so that it runs on devices."""

    def controls(self, model: ModelSpec, data: DataSpec) -> tuple[ModelSpec, ...]:
        """What a model with a circuit is compared with, on the same backbone; none for any other model."""

    def control(self, model: ModelSpec) -> ModelSpec:
        """The bottleneck of a model with a circuit, without the circuit."""

    def borrows(self, attack: AttackSpec) -> tuple[str, ...]:
        """What it takes over from other models at its level: `control`, `ideal`."""

    def reaches(self, model: ModelSpec, level: Level) -> bool:
        """Whether a model can be attacked at a level."""

    def train(self, train: TrainSpec, model: ModelSpec) -> TrainSpec:
        """The same, with every option of its device filled in; without one, where that trains the same model."""

    def attack(self, attack: AttackSpec, model: ModelSpec, data: DataSpec) -> AttackSpec:
        """The same, with every option filled in; refused where the model does not have its level, or it fails on such images."""

    def nested(self, attack: AttackSpec) -> bool:
        """Whether what it finds at an epsilon depends on which others it is asked for."""

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The same, with every option filled in; refused where it cannot run the model's circuit."""

    def surrogate(self, model: ModelSpec, device: DeviceSpec) -> None:
        """Refused where the model's circuit cannot have an exact surrogate on the device."""

    def exact(self, device: DeviceSpec) -> DeviceSpec:
        """What an attacker with exact access differentiates: the same device without its shots, where it has such a twin."""

    def label(self, device: DeviceSpec) -> str:
        """The device as tables name it, such as qiskit.aer[fake_manila]."""

    def evaluate(self, evaluate: EvaluateSpec, device: DeviceSpec | None, attack: AttackSpec) -> EvaluateSpec:
        """The same, with settings that do not apply to the device (None: no circuit) at their defaults."""
