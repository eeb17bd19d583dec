"""Who else may judge what was found against a model: its neighbours in the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hqc_ray.errors import SpecError
from hqc_ray.plan.parts import Training
from hqc_ray.spec import AttackSpec, DeviceSpec, EvaluateSpec, JudgesSpec, Level


@dataclass(frozen=True)
class Seat:
    """A model and the device that it runs on: it can be attacked, and it can judge."""

    training: Training
    device: DeviceSpec | None
    key: str
    label: str
    backbone: str = ""  # the key of its backbone with weights, size and options

    @property
    def place(self) -> str:
        """See `Training`."""
        return self.training.place

    @property
    def shots(self) -> bool:
        """Whether it judges by samples."""
        return bool(self.device and self.device.options.get("shots"))


@dataclass(frozen=True)
class Resolved:
    """A point of the file, resolved: a model on its device, how it is attacked, and who else judges."""

    seat: Seat
    attack: AttackSpec
    evaluate: EvaluateSpec
    places: tuple[str, ...] = ()  # of the point in the file, see `Point`
    control: Training | None = None  # whose gradient the attack borrows


class Crew:
    """All models of a sweep on their devices, among which further judges are found."""

    def __init__(self, seats: Iterable[Seat]) -> None:
        self.seats = list(seats)
        self.heads = {seat.training.model.head for seat in self.seats}
        self.seeds = {seat.training.seed for seat in self.seats}
        self.devices = {name for seat in self.seats if seat.device for name in (seat.device.name, seat.label)}
        self.found: dict[tuple[Any, ...], list[Seat]] = {}

    def judges(self, point: Resolved) -> list[Seat]:
        """The further judges that a point asks for, looked up once per model, device and level.

        Raises:
            SpecError: a name that the sweep does not have, or judges that cannot read what is searched at this level.
        """
        key = (id(point.seat), id(point.evaluate), point.attack.level)
        if key not in self.found:
            self._check(point.evaluate.judges, point.attack.level)
            self.found[key] = [seat for seat in self.seats if _asked(seat, point.seat, point.evaluate.judges)]
        return self.found[key]

    def _check(self, asked: JudgesSpec, level: Level) -> None:
        _known("devices", asked.devices, self.devices)
        _known("heads", asked.heads, self.heads)
        _known("seeds", asked.seeds, self.seeds)
        strangers = {"features": asked.seeds and "seeds", "angles": (asked.heads and "heads") or (asked.seeds and "seeds")}
        if kind := strangers.get(level):
            what = f"other models have other {level}: these judges cannot evaluate an attack on them"
            raise SpecError(what, where=f"evaluate.judges.{kind}", valid="attacks on pixels")


def _asked(seat: Seat, mine: Seat, asked: JudgesSpec) -> bool:
    """Whether `seat` is among the judges `asked` for: it differs from `mine` in its device, its head or its seed alone."""
    if seat is mine:
        return False
    if seat.training is mine.training:
        return _among(asked.devices, seat.label, seat.device.name if seat.device else "")
    if _differ_in_head(seat, mine):
        same_device = seat.key == mine.key or not mine.device or not seat.device
        return same_device and _among(asked.heads, seat.training.model.head)
    return _differ_in_seed(seat.training, mine.training) and seat.key == mine.key and _among(asked.seeds, seat.training.seed)


def _known(kind: str, asked: str | Sequence[Any], there: set[Any]) -> None:
    if asked != "all" and (missing := [name for name in asked if name not in there]):
        raise SpecError(
            f"{missing[0]!r} is not in this sweep", where=f"evaluate.judges.{kind}", valid=", ".join(map(str, sorted(there)))
        )


def _among(asked: str | Sequence[Any], *names: Any) -> bool:
    return asked == "all" or any(name in asked for name in names)


def _differ_in_head(one: Seat, other: Seat) -> bool:
    """Whether two models have the same images and the same backbone, but different heads (trained however)."""
    a, b = one.training, other.training
    same = (a.place, a.data, a.seed, one.backbone) == (b.place, b.data, b.seed, other.backbone)
    return same and a.model != b.model


def _differ_in_seed(one: Training, other: Training) -> bool:
    same = (one.place, one.data, one.model, one.train) == (other.place, other.data, other.model, other.train)
    return same and one.seed != other.seed
