"""The row of a cell: what was planned and what was measured, with units."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VOLATILE = ("seconds", "host", "finished_at")  # measured; every other column is the same in every run


class Row(BaseModel):
    """One cell and what was found. Accuracies are fractions; epsilon, mean_linf and mean_l2 are in pixel units of [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    status: Literal["ok", "failed"]
    sweep: str
    data_source: str
    data_size: int
    data_digest: str
    seed: int
    backbone: str
    weights: str
    weights_origin: str
    image_size: int
    head: str
    n_qubits: int | None
    embedding: str | None
    layers: int | None
    reuploads: int | None = None
    train_device: str = Field("", description="label of the noisy device that it was trained on; empty: an ideal one")
    model_key: str
    device: str
    attack: str
    attack_options: str = Field(description="JSON of the attack's options, defaults included")
    attack_label: str
    norm: str
    epsilon: float
    n_train: int | None = None
    n_test: int | None = None
    test_accuracy: float | None = Field(
        None, description="on the whole test part, on this device (of sampled ones: its exact twin)"
    )
    n_evaluated: int | None = None
    clean_accuracy: float | None = Field(None, description="on the evaluated images")
    clean_low: float | None = Field(None, description="95 % Wilson interval")
    clean_high: float | None = None
    robust_accuracy: float | None = Field(None, description="correct before and after, over the evaluated images")
    robust_low: float | None = None
    robust_high: float | None = None
    clean_correct: str | None = Field(None, description="one bit an evaluated image, packed, hexadecimal")
    robust_correct: str | None = None
    mean_linf: float | None = Field(None, description="mean over the attacked images of the largest change of a pixel")
    mean_l2: float | None = None
    bad_gradient_share: float | None = Field(None, description="of the attacked images: input gradient zero or not finite")
    gradients: int | None = Field(None, description="input gradients of single images that this epsilon took")
    forwards: int | None = None
    surrogate_error: float | None = Field(None, description="largest error of the surrogate's probabilities at fresh angles")
    circuits: int | None = Field(None, description="circuit executions that measured the surrogate on the device")
    surrogate_standard_error: float | None = Field(
        None, description="of <Z>, the largest at the same angles, by the shots of a measured surrogate; None is exact"
    )
    depth: int | None = Field(None, description="of the circuit as the device's compiler left it, readout not counted")
    two_qubit_gates: int | None = Field(None, description="in the compiled circuit")
    layout: str | None = Field(None, description="JSON: physical qubit of each wire at the end; None where nothing is compiled")
    shots: int | None = Field(None, description="per circuit; None is exact")
    repeats: int | None = Field(None, description="evaluations of each image on a sampled device; accuracies are their means")
    clean_shot_low: float | None = Field(
        None,
        description="95 % interval of one evaluation of the same images by other shots; of a measured surrogate also by another "
        "measurement, and widened by the bias of its noise",
    )
    clean_shot_high: float | None = None
    robust_shot_low: float | None = Field(None, description="the same of the same perturbations")
    robust_shot_high: float | None = None
    shot_flip_share: float | None = Field(None, description="of clean images and repeats: shot noise changed the prediction")
    mode: str = Field("surrogate", description="how the circuit ran: as its exact surrogate, or natively on the device")
    access: str = Field("exact", description="what the attacker differentiates: the device, its shots, or the ideal twin")
    outputs_normalised: bool | None = Field(None, description="the outputs look like probabilities, not logits")
    example: str = ""
    error: str = ""
    seconds: float | None = Field(None, description="wall time of the cell's group, shared evenly over its cells")
    host: str = ""
    finished_at: str = ""

    def facts(self) -> dict[str, Any]:
        """All but the volatile columns: equal in every run of the same cell."""
        return self.model_dump(exclude=set(VOLATILE))
