"""The jobs of a sweep, what each is told and what it gives. Knows neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hqc_ray.plan import Search, Training
from hqc_ray.results.row import Measured, Planned
from hqc_ray.spec import DeviceSpec, ModelSpec
from hqc_ray.sweep.graph.inputs import Input

START_SECONDS = 12.0  # of Ray and the libraries, before the first job is done
Kind = Literal["features", "train", "fit", "search"]


@dataclass(frozen=True)
class Weights:
    """Weights of a frozen backbone: the input that holds their file ("" if they are drawn at random), and their digest."""

    file: str
    digest: str


@dataclass(frozen=True)
class Inputs:
    """Names of what a model reads: its split, and the features of its images or (trained end to end) the images."""

    split: str
    features: tuple[str, ...] = ()
    images: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.split, *self.features, *([self.images] if self.images else []))


@dataclass(frozen=True)
class FeaturesTask:
    """Put images through a frozen backbone."""

    model: ModelSpec
    weights: Weights
    images: str

    @property
    def title(self) -> str:
        """In a few words."""
        return f"features of {self.model.backbone}"


@dataclass(frozen=True)
class TrainTask:
    """Train a model."""

    training: Training
    weights: Weights
    inputs: Inputs
    origin: Origin

    @property
    def title(self) -> str:
        """In a few words."""
        return f"train {self.training.model.backbone} {self.training.model.head}"


@dataclass(frozen=True)
class Deployment:
    """A trained model where it runs: the names of its artifacts, and its device.

    Args:
        training: what made it.
        weights: of its backbone.
        trained: the name of the trained model.
        surrogate: the name of its surrogate on the device; "" without one.
        device: None: without a circuit, or the ideal circuit.
        native: the circuit runs on the device itself.
    """

    training: Training
    weights: Weights
    trained: str
    surrogate: str = ""
    device: DeviceSpec | None = None
    native: bool = False


@dataclass(frozen=True)
class FitTask:
    """Measure the surrogate of a trained circuit on a device."""

    deployed: Deployment
    inputs: Inputs

    @property
    def title(self) -> str:
        """In a few words."""
        device = self.deployed.device
        return f"measure {self.deployed.training.model.head} on {device.name if device else ''}"


@dataclass(frozen=True)
class JudgeTask:
    """A judge: a model on its device, `repeats` times if that samples; its split, if it is not that of the searched model; and
    whether it certifies the images.
    """

    deployed: Deployment
    repeats: int
    split: str = ""
    certificate: bool = False


@dataclass(frozen=True)
class SearchTask:
    """Search once, and let every judge decide.

    Args:
        search: what is searched.
        searched: the model that the attacker differentiates.
        inputs: of the searched model; its features, if they or the angles are attacked, or the attack wants training images.
        images: the name of the first images of its test part; "" if pixels are not attacked.
        n_images: how many of them.
        judges: who decides.
        judged: for each row of the job, the position of its judge.
        kept: epsilons whose attacked images are kept, each with the name of their file.
        control: the model whose gradient it borrows; None without.
        start: the name of the images of the ideal twin that it begins with; "" without.
        lends: it gives such images: those that it was the first to fool by.
    """

    search: Search
    searched: Deployment
    inputs: Inputs
    images: str
    n_images: int
    judges: tuple[JudgeTask, ...]
    judged: tuple[int, ...]
    kept: tuple[tuple[float, str], ...] = ()
    control: Deployment | None = None
    start: str = ""
    lends: bool = False

    @property
    def title(self) -> str:
        """In a few words."""
        model = self.search.training.model
        return f"{self.search.attack.name} {model.backbone} {model.head}"


Task = FeaturesTask | TrainTask | FitTask | SearchTask


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as its file says: digests of data and weights."""

    data_digest: str
    weights_digest: str
    weights_origin: str


@dataclass(frozen=True)
class Job:
    """One piece of work: it needs inputs by name, and gives one artifact (or results).

    Args:
        id: unique in the sweep; the name of the artifact, where it gives one.
        kind: which function of `work` does it.
        needs: names of inputs; each was published at the start, or is the id of another job.
        task: what that function is told.
        cost: expected seconds on one core; the longest ready job goes first.
        rows: of a search, its cells, each of which becomes a row.
        affinity: jobs of the same affinity share a model, and are best done by the same worker.
    """

    id: str
    kind: Kind
    needs: tuple[str, ...]
    task: Task
    cost: float
    rows: tuple[Planned, ...] = ()
    affinity: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a job gave: an artifact, results of its rows in their order, or the traceback of its failure.

    `examples` are arrays by the name of the file that they become: the first images of a row, or all that a search keeps.
    Of a job that is not `warm`, libraries were imported while it ran, which takes time that no other job of its worker needs.
    """

    job: str
    seconds: float
    artifact: Any = None
    measured: tuple[Measured, ...] = ()
    examples: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    error: str = ""
    host: str = ""
    warm: bool = True


@dataclass
class Graph:
    """The jobs that are left, the inputs at hand (as recipes), and the keys of all rows in order."""

    jobs: list[Job] = field(default_factory=list)
    inputs: dict[str, Input] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
