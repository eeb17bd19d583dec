"""What a plan consists of: trainings, searches, judges, cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hqc_ray.plan.keys import content_key
from hqc_ray.results.row import Audience
from hqc_ray.spec import Access, AttackSpec, DataSpec, DeviceSpec, Mode, ModelSpec, TrainSpec


@dataclass(frozen=True)
class Training:
    """Everything that decides a model's weights, except the digests of data and weights."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    seed: int
    id: str

    @property
    def place(self) -> str:
        """The path of the data. No key contains it, but two paths in one sweep are two subsets."""
        return str(self.data.options.get("path", ""))


@dataclass(frozen=True)
class Search:
    """What is attacked, through what, with which attack, and for whom. It runs once for all its epsilons and judges.

    Attributes:
        training: gives the model that is attacked.
        device: what the attacker differentiates, by `access`; None: the ideal circuit, or a model without a circuit.
        twin: the exact twin of `device`, whose surrogate is fitted.
        access: the device's exact expectations, estimates from its shots, or the ideal twin.
        attack: name, options and level; its epsilon is not used.
        evaluate: which images, in which batches, and how the circuit runs.
        audience: "itself" (the attacked model judges, exactly), "samples" (it judges by its shots), "others".
        id: the content key of all this.
        epsilons: all that it is asked for, in rising order, where they are nested; none where each stands alone.
        control: gives the model whose gradient it borrows.
        start: the search on the ideal twin whose images it begins with; the same for all devices.
    """

    training: Training
    device: DeviceSpec | None
    twin: DeviceSpec | None
    access: Access
    attack: AttackSpec
    images: int | None
    batch_size: int
    mode: Mode
    audience: Audience
    id: str
    epsilons: tuple[float, ...] = ()
    control: Training | None = None
    start: Search | None = None


@dataclass(frozen=True)
class Judge:
    """Who decides: a model on a device (with its exact `twin`), `repeats` times where that samples; whether it certifies too."""

    training: Training
    device: DeviceSpec | None
    twin: DeviceSpec | None
    repeats: int
    mode: Mode
    id: str
    certificate: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the grid: search x epsilon x judge; one row of the result. `keep`: the attacked images become a file."""

    search: Search
    epsilon: float
    judge: Judge
    keep: bool = False


@dataclass(frozen=True)
class Group:
    """A search and its cells, which differ in epsilon and judge."""

    search: Search
    cells: tuple[Cell, ...]

    @property
    def epsilons(self) -> list[float]:
        """The distinct ones, in the order of the file."""
        return list(dict.fromkeys(cell.epsilon for cell in self.cells))

    @property
    def judges(self) -> list[Judge]:
        """The distinct ones, in the order of the file."""
        return list({cell.judge.id: cell.judge for cell in self.cells}.values())


@dataclass(frozen=True)
class Plan:
    """The distinct cells of a sweep in the order of its file, by the search that serves them."""

    name: str
    groups: tuple[Group, ...]

    @property
    def n_cells(self) -> int:
        """How many rows the sweep has."""
        return sum(len(group.cells) for group in self.groups)

    @cached_property
    def trainings(self) -> tuple[Training, ...]:
        """The distinct trainings, of models that are attacked, judge, or lend their gradient."""
        found = (t for g in self.groups for t in (g.search.training, *(j.training for j in g.judges), g.search.control))
        return tuple({(t.place, t.id): t for t in found if t}.values())

    @cached_property
    def starts(self) -> tuple[Search, ...]:
        """The distinct searches that others begin with and that have no cells of their own."""
        own = {(g.search.training.place, g.search.id) for g in self.groups}
        found = {(s.training.place, s.id): s for g in self.groups if (s := g.search.start)}
        return tuple(search for key, search in found.items() if key not in own)

    @cached_property
    def deployments(self) -> tuple[tuple[Training, DeviceSpec], ...]:
        """The distinct pairs of a model with a circuit and a device that evaluates or judges it as a surrogate."""
        found: dict[tuple[str, str, int], tuple[Training, DeviceSpec]] = {}
        for group in self.groups:
            ones: list[Search | Judge] = [group.search, *group.judges, *([group.search.start] if group.search.start else [])]
            for one in ones:
                if one.twin and one.mode == "surrogate":
                    found.setdefault((one.training.place, one.training.id, id(one.twin)), (one.training, one.twin))
        return tuple(found.values())

    @cached_property
    def data(self) -> tuple[tuple[DataSpec, int], ...]:
        """The distinct subsets: data and seed."""
        return tuple({(t.place, content_key(t.data, t.seed)): (t.data, t.seed) for t in self.trainings}.values())
