"""The row of a cell: what was planned and what was measured, two validated parts that nothing misspelt can enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from hqc_ray.errors import ResultsError
from hqc_ray.redaction import clean
from hqc_ray.results.columns import LARGEST, Count, Names, Options, Part, Share, holds, kind_of, optional
from hqc_ray.spec import Access, Level, Mode

VOLATILE = ("seconds", "host", "finished_at")  # measured; every other column is the same in every run

MEND = "a ledger without that line: delete it, and `hqc sweep` computes its cell again"
Audience = Literal["itself", "samples", "others"]


class Planned(Part):
    """What is known of a cell before anything is computed: search x epsilon x judge."""

    key: str = Field(description="of the cell: 16 hexadecimal digits of the content of everything that decides the row")
    sweep: str = Field(description="name of the sweep")
    data_source: str = Field(description="as the sweep file names it")
    data_size: int = Field(description="images of the subset, all parts together")
    data_digest: str = Field(description="of the subset: contents, labels and split of its images")
    n_classes: Annotated[int, Field(ge=2)] = Field(description="K")
    class_names: Names = Field(description="JSON list: the names of the classes, in the order of their labels")
    n_train: int = Field(description="images of the training part")
    n_test: int = Field(description="images of the test part")
    seed: int = Field(description="of the model that judges: its images, split, first weights, and the attacks on it")
    backbone: str = Field(description="as the sweep file names it")
    weights: str = Field(description="of the backbone, as the sweep file names them; `trained` where the backbone is trained too")
    weights_origin: str = Field(description="where the weights came from: a file, a download, a draw")
    image_size: int = Field(description="side in pixels that the backbone sees; of images that are not square the height")
    head: str = Field(description="as the sweep file names it")
    head_kind: Literal["classical", "circuit"] = Field(description="whether a circuit stands in the head")
    n_qubits: int | None = Field(description="width of the bottleneck; None without one")
    embedding: str | None = Field(description="of a circuit: how angles enter; None without one")
    layers: int | None = Field(description="of a circuit: repetitions of its weighted gates; None without one")
    reuploads: int | None = Field(description="of a circuit: repetitions of embedding and layers; None without one")
    readout: str | None = Field(description="the Pauli basis that is measured, x, y or z; None without a circuit")
    model_options: Options = Field(description="JSON of all options of head and backbone, defaults included")
    train_device: str = Field(description="label of the noisy device that it was trained on; empty: an ideal one")
    model_key: str = Field(description="of the model that judges; its file is models/<model_key>.pt")
    search_key: str = Field(description="of the search: rows with the same key share its candidates and its gradients")
    start_key: str = Field(default="", description="of the search on the ideal twin whose images it began with; empty: of none")
    search_model_key: str = Field(description="the attacked model; where it differs from model_key, the attack is transferred")
    search_head: str = Field(description="head of the attacked model")
    search_seed: int = Field(description="seed of the attacked model, of which the images are")
    search_device: str = Field(description="what the attacker differentiated: label of a device, `ideal`, or `classical`")
    access: Access = Field(description="what the attacker differentiates: the device exactly, its shots, or the ideal twin")
    audience: Audience = Field(
        description="whom the search is for: the attacked model itself (it may stop at success), its samples, or others"
    )
    level: Level = Field(description="what is perturbed: the pixels, the head's features, or the circuit's angles")
    attack: str = Field(description="as the sweep file names it")
    attack_title: str = Field(description="as tables and figures write it")
    attack_kind: Literal["none", "budget", "minimal"] = Field(description="searches a ball, the smallest change, or nothing")
    attack_options: Options = Field(description="JSON of the attack's options, defaults included")
    attack_label: str = Field(description="the name, with the options that tell it from another attack of the sweep")
    one_search: bool = Field(description="one search serves all epsilons: `gradients` of its rows are the same work")
    gradient_steps: int | None = Field(
        default=None,
        description="along the loss's gradient, of one run of the attack; None: it does not climb so, or does not say",
    )
    aims: bool = Field(default=False, description="at points at which the model is wrong, instead of climbing its loss")
    black_box: bool = Field(default=False, description="it asks for logits only, never for a gradient")
    norm: str = Field(description="of epsilon: linf or l2")
    epsilon: Annotated[float, Field(ge=0)] = Field(description="how far each image may be moved; 0 for `clean`")
    epsilon_unit: str = Field(description="of epsilon, and of distances at this level")
    device: str = Field(description="the one that judges")
    device_kind: Literal["classical", "ideal", "noisy", "measured"] = Field(description="measured: counted on a machine")
    shots: int | None = Field(description="per circuit; None is exact")
    mitigation: Options = Field(
        default="", description="JSON of what is done about the noise, after the circuits; empty: nothing"
    )
    image_shots: Count | None = Field(default=None, description="of one evaluation of an image; None: one circuit of `shots`")
    calibration_shots: Count | None = Field(default=None, description="of the readout, once per evaluation of all images")
    mode: Mode = Field(description="how the circuit ran: as its exact surrogate, or on the device itself")
    foreign_device: bool = Field(default=False, description="this model was differentiated on another device than this")
    image_width: int | None = Field(default=None, description="in pixels; None: as image_size")
    example: str = Field(default="", description="file with the first images, clean and adversarial")
    backbone_title: str = Field(default="", description="as tables and figures write it; empty: as it is named")
    head_title: str = Field(default="", description="the same of the head")
    # the keys of the sweep file that no column above holds; rows of an older version lack them, and have no `data_options`
    data_test_fraction: float | None = Field(default=None, description="None: the source's own")
    data_validation_fraction: float | None = Field(default=None, description="None: the source's own")
    data_options: Options = Field(
        default="", description="JSON of the source's options, defaults included; `~` for a home folder"
    )
    train_epochs: int | None = Field(default=None, description="passes over the training part")
    train_batch_size: int | None = Field(default=None, description="images of a training step")
    train_learning_rate: float | None = Field(default=None, description="of Adam, per step")
    device_options: Options = Field(default="", description="JSON of the judging device's options, defaults included")
    evaluate_images: int | None = Field(default=None, description="as the sweep file has it; None: all of the test part")
    evaluate_batch_size: int | None = Field(default=None, description="images that are attacked together")
    evaluate_repeats: int | None = Field(default=None, description="how often a device with shots judges an image")
    evaluate_certificate: bool = Field(default=False, description="asked for, of an attack whose perturbations are certified")


class Deployed(Part):
    """What is known about a model on its device, independent of any attack."""

    test_accuracy: Share | None = Field(description="on the whole test part, on this device (if it samples: on its exact twin)")
    head_parameters: int | None = Field(default=None, description="trained numbers of the head, those of its circuit included")
    trapped_share: Share | None = Field(
        default=None, description="of the right images: descent on the head alone ends where it is right; None: unknown"
    )
    random_share: Share | None = Field(default=None, description="of the first batch: its logits differ when it is asked again")
    batch_dependent_share: Share | None = Field(default=None, description="the same when half of its neighbours are missing")
    gradient_error: Share | None = Field(default=None, description="of gradients against differences: 0 right, 1 unrelated")
    dead_input_share: Share | None = Field(default=None, description="of the wires (else features): they move no image's logit")
    noise_effect: float | None = Field(default=None, description="largest change of a logit by noise, over the largest logit")
    linear_distance_linf: float | None = Field(default=None, description="to the boundary by slopes, median over right images")
    linear_distance_l2: float | None = Field(default=None, description="the same in the L2 norm")
    surrogate_error: float | None = Field(default=None, description="of its surrogate: largest error of a probability, or <Z>")
    lowest_probability: float | None = Field(
        default=None, description="of a mitigated surrogate: quasi-probabilities may be negative"
    )
    surrogate_standard_error: float | None = Field(
        default=None, description="of <Z>, the largest at the same angles, by the shots of a measured surrogate; None is exact"
    )
    circuits: int | None = Field(default=None, description="circuit executions that measured the surrogate on the device")
    depth: int | None = Field(default=None, description="of the circuit as the device's compiler left it, readout not counted")
    two_qubit_gates: int | None = Field(default=None, description="in the compiled circuit")
    layout: str | None = Field(default=None, description="JSON: physical qubit of each wire at the end; None: not compiled")
    expected_error: Share | None = Field(default=None, description="that any of its gates or readouts fails, by calibration")
    duration_us: float | None = Field(default=None, description="from its first gate to the end of its readout, if scheduled")
    idle_us: float | None = Field(default=None, description="that a qubit waits in all before its readout, the most of any")


class Searched(Part):
    """What a search did at one epsilon."""

    mean_linf: float | None = Field(description="mean over attacked images that were right before of the largest change")
    mean_l2: float | None = Field(description="the same of the L2 norm of the change")
    bad_gradient_share: float | None = Field(description="of these images: input gradient zero or not finite")
    not_finite_share: float | None = Field(
        default=None, description="of these images: the attack gave NaN or infinity, so that they count as not fooled"
    )
    gradients: int = Field(description="input gradients of single images that this epsilon takes on its own")
    forwards: int = Field(description="evaluations of single images that this epsilon takes on its own, this judge's included")
    outputs_normalised: bool = Field(description="the attacked model's outputs look like probabilities, not logits")
    members: Names | None = Field(default=None, description="JSON list: of an ensemble, the members that ran, in their order")
    start_gradients: Count | None = Field(default=None, description="of the search of `start_key`, the same in all its rows")


class Decided(Part):
    """What a judge decided at one epsilon. Accuracies are fractions."""

    n_evaluated: Count = Field(description="images that the accuracies are over")
    clean_accuracy: Share = Field(description="on the evaluated images")
    clean_low: float = Field(description="95 % Wilson interval")
    clean_high: float = Field(description="upper end of that interval")
    robust_accuracy: Share = Field(description="correct before and after, over the evaluated images")
    robust_low: float = Field(description="95 % Wilson interval")
    robust_high: float = Field(description="upper end of that interval")
    robust_accuracy_8bit: Share | None = Field(
        default=None,
        description="of pixels: the same perturbations, rounded to grey levels inside the ball, as a file of 8 bits holds them",
    )
    clean_correct: str = Field(description="one bit per evaluated image, packed, hexadecimal")
    robust_correct: str = Field(description="the same before and after the attack")
    repeats: int | None = Field(default=None, description="evaluations of each image by shots; accuracies are their means")
    clean_shot_low: float | None = Field(
        default=None,
        description="95 % interval of one evaluation of the same images by other shots; of a measured surrogate also by another "
        "measurement, and widened by the bias of its noise",
    )
    clean_shot_high: float | None = Field(default=None, description="upper end of that interval")
    robust_shot_low: float | None = Field(default=None, description="the same of the same perturbations")
    robust_shot_high: float | None = Field(default=None, description="upper end of that interval")
    shot_flip_share: float | None = Field(default=None, description="of clean images and repeats: shots changed the prediction")
    certified_accuracy: Share | None = Field(
        default=None, description="right, and certified that nothing within epsilon changes that, over the evaluated images"
    )
    certified_undecided: Share | None = Field(
        default=None,
        description="right, but neither certified nor a counterexample known within epsilon, over the evaluated images",
    )
    certified_radius: float | None = Field(
        default=None, description="median over the right images of the radius that is certified, in the unit of epsilon"
    )
    certified_radius_high: float | None = Field(
        default=None, description="the same of the radius at which a counterexample is known; None if half of them have none"
    )
    certified_correct: str | None = Field(default=None, description="as `robust_correct`: certified at epsilon")


class Measured(Deployed, Searched, Decided):
    """All that is measured of a cell."""

    @classmethod
    def of(cls, *parts: Part) -> Self:
        """The union of a `Deployed`, a `Searched` and a `Decided`, validated once more as a whole."""
        return cls(**{name: value for part in parts for name, value in part})


_MeasuredOrNone: Any = optional(Measured)


class Row(Planned, _MeasuredOrNone):
    """One cell and what was found, flat: `Planned`, `Measured` (each column None while there is no result), and how it went."""

    status: Literal["ok", "failed"] = Field(description="`failed` rows have an error and no measured column")
    error: Annotated[str, AfterValidator(lambda text: clean(text, kept=True))] = Field(default="", description="of a failed cell")
    seconds: float | None = Field(default=None, description="wall time of the cell's search, shared evenly over its cells")
    host: str = Field(default="", description="machine that computed the row")
    finished_at: str = Field(default="", description="UTC, ISO 8601")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """A result has every column that a result must have, and one bit per image; a table can hold every number."""
        if self.status == "ok" and (lacking := [name for name in _REQUIRED if getattr(self, name) is None]):
            raise ValueError(f"a result without {lacking[0]!r}")
        for name in ("clean_correct", "robust_correct") if self.status == "ok" else ():
            if not holds(getattr(self, name), self.n_evaluated):
                raise ValueError(f"{name!r} is not one bit for each of {self.n_evaluated} images")
        if self.certified_correct and not holds(self.certified_correct, self.n_evaluated or 0):
            raise ValueError(f"'certified_correct' is not one bit for each of {self.n_evaluated} images")
        if large := [name for name in _WHOLE if abs(getattr(self, name) or 0) > LARGEST]:
            raise ValueError(f"{large[0]!r} is beyond {LARGEST}")
        return self

    @classmethod
    def ok(cls, planned: Planned, measured: Measured, **stamp: Any) -> Self:
        """The row of a cell that was measured.

        Args:
            planned: the cell.
            measured: its result.
            stamp: `seconds`, `host`, `finished_at`.
        """
        return cls(**dict(planned), **dict(measured), **stamp, status="ok")

    @classmethod
    def failed(cls, planned: Planned, error: str, **stamp: Any) -> Self:
        """The row of a cell that could not be measured, and why."""
        return cls(**{**dict(planned), "example": ""}, **stamp, status="failed", error=error)

    def facts(self) -> dict[str, Any]:
        """All but the volatile columns: equal in every run of the same cell."""
        return self.model_dump(exclude=set(VOLATILE))


_WHOLE = [n for n, column in Row.model_fields.items() if kind_of(column) is int]
_REQUIRED = [n for n, column in Measured.model_fields.items() if type(None) not in getattr(column.annotation, "__args__", ())]


def parse(line: bytes, where: str, valid: str = MEND) -> Row:
    """The row of one line of JSON.

    Args:
        line: without its end, or with it.
        where: the line is.
        valid: the way out.

    Raises:
        ResultsError: it is not a row of this version.
    """
    try:
        return Row.model_validate_json(line)
    except ValidationError as problem:
        raise ResultsError(f"not a row of this version: {_said(problem)}", where=where, valid=valid) from problem


def _said(problem: ValidationError) -> str:
    """The first thing that is wrong with a line; what stands there is not repeated, it may be anything."""
    first = problem.errors(include_url=False, include_input=False)[0]
    column = str(first["loc"][0])[:60] if first["loc"] else ""
    known = {"json_invalid": "broken JSON", "extra_forbidden": f"no column is called {column!r}", "missing": f"no {column!r}"}
    text = str(first["msg"]).removeprefix("Value error, ")[:100]
    return known.get(first["type"], f"{column}: {text}" if column else text)


@dataclass(frozen=True)
class AttackIdentity:
    """What identifies an attack: only rows of the same identity may be compared along epsilon."""

    name: str
    title: str
    kind: str
    options: str
    norm: str
    level: str
    access: str
    audience: str
    search_model_key: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> AttackIdentity:
        """The identity of a row, or of a record of a table of rows."""
        return cls(
            row["attack"], row["attack_title"], row["attack_kind"], row["attack_options"], row["norm"], row["level"],
            row["access"], row["audience"], row["search_model_key"],
        )  # fmt: skip
