"""A classifier is one torch module from pixels to logits; how it is saved, and how it is loaded again."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hqc_ray.errors import HqcError, ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.backbones.checkpoint import first_line
from hqc_ray.models.head import Bottleneck, Head
from hqc_ray.models.levels import END_TO_END
from hqc_ray.models.part import Part, Rest
from hqc_ray.quantum import devices
from hqc_ray.quantum.devices import Device
from hqc_ray.results.folder import Folder
from hqc_ray.results.seal import DamagedError, opened
from hqc_ray.spec import Level, ModelSpec


class Classifier(nn.Module):
    """Pixels to logits: images [B, 3, H, W] in [0, 1] -> [B, K]; resize and normalisation are inside.

    All of it lives on one torch device, and so do the images that it is given: `classifier.to("cuda")` moves it whole.

    Args:
        backbone: images -> features [B, F].
        head: features -> logits.
    """

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of images [B, 3, H, W] in [0, 1]: exact also on a device with shots, differentiable."""
        return self.head(self.backbone(images))

    def features(self, images: Tensor) -> Tensor:
        """Features [B, F] of images [B, 3, H, W] in [0, 1]."""
        return self.backbone(images)

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, K] of features [B, F]."""
        return self.head(features)

    @property
    def bottleneck(self) -> bool:
        """Whether the head has one."""
        return self.head.bottleneck

    def preactivations(self, images: Tensor) -> Tensor:
        """Pre-activations [B, Q] of the head (see `Head`), of images [B, 3, H, W] in [0, 1]."""
        return self.head.preactivations(self.head.standardised(self.backbone(images)))

    def concluded(self, preactivations: Tensor) -> Tensor:
        """Logits [B, K] of pre-activations [B, Q]."""
        return self.head.concluded(preactivations)

    @property
    def device(self) -> torch.device:
        """Where it is, and where its images must be."""
        return self.backbone.device

    @property
    def n_classes(self) -> int:
        """K."""
        return self.head.n_classes

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels at which this classifier can be cut in two."""
        return END_TO_END if self.backbone.trainable else self.head.levels

    def at(self, level: Level) -> Part:
        """This classifier, cut in two at a level: images to values, and values to logits.

        Raises:
            ModelError: a level that this classifier does not have.
        """
        if level not in self.levels:
            raise ModelError(f"this classifier has no {level!r}", where="level", valid=", ".join(self.levels))
        return Part(level, self.backbone, self.head, self if level == "pixels" else Rest(self.head, level))

    @property
    def stochastic(self) -> bool:
        """Whether the logits are random samples, so that `drawn` gives others."""
        return self.head.stochastic

    def drawn(self, k: int) -> Classifier:
        """The k-th independent draw of a stochastic classifier, the backbone shared; itself where nothing is stochastic."""
        return Classifier(self.backbone, self.head.drawn(k)).eval() if self.stochastic else self

    def on(self, device: Device) -> Classifier:
        """This classifier with its circuit on `device`, as an exact surrogate; the backbone is shared.

        Without a circuit there is nothing to put on a device: the head is the same.

        Raises:
            DeviceError: the device cannot run the circuit.
            CircuitError: the circuit has no exact surrogate on this device.
        """
        return Classifier(self.backbone, self.head.on(device)).eval()

    def with_core(self, core: nn.Module) -> Classifier:
        """This classifier with another core in its bottleneck, such as a surrogate fitted elsewhere; the backbone is shared.

        Raises:
            ModelError: the head has no bottleneck.
        """
        if not isinstance(self.head, Bottleneck):
            raise ModelError("the head has no core to replace", valid="tanh, fourier, or a circuit")
        return Classifier(self.backbone, self.head.with_core(core)).eval()

    @property
    def measured(self) -> bool:
        """Whether the circuit is known from shots of a machine only."""
        return self.head.surrogate is not None and self.head.surrogate.measured

    @property
    def max_error(self) -> float | None:
        """Of the surrogate, in probability; None without one."""
        return None if self.head.surrogate is None else self.head.surrogate.max_error


@dataclass(frozen=True)
class Saved:
    """What a model file holds: the specification, the number of classes, the trained tensors, and facts about the training."""

    spec: ModelSpec
    n_classes: int
    state: dict[str, Tensor]
    meta: dict[str, Any]


def trained_state(classifier: Classifier) -> dict[str, Tensor]:
    """Copies of the tensors that training made: of the head, and of the backbone where that is trained too."""
    prefixes = ("head.", "backbone.") if classifier.backbone.trainable else ("head.",)
    return {key: value.detach().clone() for key, value in classifier.state_dict().items() if key.startswith(prefixes)}


def assemble(spec: ModelSpec, n_classes: int, state: Mapping[str, Tensor], backbone: Backbone | None = None) -> Classifier:
    """The classifier of `spec` with trained tensors, in eval mode, frozen.

    Args:
        spec: what was trained.
        n_classes: K.
        state: of `trained_state`.
        backbone: a frozen one at hand, so that it is not read again; None: made from `spec`.

    Raises:
        ModelError: the state is of another specification.
    """
    if backbone is None or backbone.trainable:
        backbone = backbones.build(spec)
    classifier = Classifier(backbone, heads.build(spec, backbone.n_features, n_classes, torch.Generator()))
    wanted = {key: value.shape for key, value in trained_state(classifier).items()}
    differing = sorted(key for key in {*wanted, *state} if key not in state or wanted.get(key) != state[key].shape)
    if differing:
        raise ModelError(
            f"the saved tensors are of another model: {differing[0]!r} differs", where=f"{spec.backbone} + {spec.head}"
        )
    classifier.load_state_dict(state, strict=False)  # not strict: a frozen backbone's tensors are not in it
    return classifier.to(backbone.device).eval().requires_grad_(False)


def dumps(spec: ModelSpec, n_classes: int, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The content of a model file; equal arguments give equal bytes.

    Raises:
        HqcError: `meta` lacks "weights_digest", without which nobody could tell later which backbone the head belongs to.
    """
    if "weights_digest" not in meta:
        raise HqcError("a model's meta must hold the weights_digest of its backbone")
    buffer = io.BytesIO()  # not the file itself: torch writes the file's name into its content
    content = {"spec": spec.model_dump(mode="json"), "n_classes": n_classes, "state": dict(state), "meta": dict(meta)}
    torch.save(content, buffer)
    return buffer.getvalue()


def parse(content: bytes, where: str = "model file") -> Saved:
    """What `dumps` has written.

    Raises:
        ModelError: something else.
    """
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return Saved(ModelSpec(**found["spec"]), found["n_classes"], found["state"], found["meta"])
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError, ValidationError) as problem:
        raise ModelError(f"not a model of hqc_ray: {first_line(problem)}", where=where) from problem


def loads(content: bytes, backbone: Backbone | None = None) -> tuple[Classifier, dict[str, Any]]:
    """The classifier and the meta of what `dumps` has written; raises what `parse` and `assemble` raise."""
    saved = parse(content)
    return _restored(saved, backbone), saved.meta


def circuit_digest(spec: ModelSpec, classifier: Classifier) -> dict[str, str]:
    """What the meta of a model holds of a user's own circuit: its gates, which a later call of the function must give again."""
    ideal = classifier.head.ideal
    return {"circuit": ideal.circuit.digest} if ideal and ":" in spec.head else {}


def _restored(saved: Saved, backbone: Backbone | None = None) -> Classifier:
    classifier = assemble(saved.spec, saved.n_classes, saved.state, backbone)
    if (trained := saved.meta.get("circuit")) and circuit_digest(saved.spec, classifier) != {"circuit": trained}:
        what = "its circuit has other gates than when it was trained"
        raise ModelError(what, where=f"head {saved.spec.head!r}", valid="code that always adds the same gates, or a new training")
    return classifier


def loads_meta(content: bytes) -> dict[str, Any]:
    """The meta alone, without building a network."""
    return parse(content).meta


def load(path: str | Path, name: str | None = None) -> Saved:
    """Read a model file.

    Args:
        path: of the file.
        name: of the model that it should be, such as model/<key>; None: any.

    Raises:
        ModelError: it is not there, damaged, or not a model.
    """
    path = Path(path)
    try:
        return parse(opened(path.read_bytes(), name)[0], where=path.name)
    except DamagedError as problem:
        raise ModelError(f"not a model of hqc_ray: {problem}", where=path.name) from problem
    except OSError as problem:
        raise ModelError(f"cannot be read: {problem.strerror}", where=str(path)) from problem


def load_classifier(results_dir: str | Path, key: str, device: Device | Mapping[str, Any] | str | None = None) -> Classifier:
    """A trained model of a sweep, for any library that takes a torch module.

    Args:
        results_dir: the sweep's folder.
        key: the `model_key` of a row, or a unique beginning of one.
        device: puts the circuit there: a device, its name, or a mapping like {"name": "qiskit.aer", "noise": "fake_manila"}.

    Raises:
        ModelError: no such model, or the backbone's weights on this machine are not those it was trained with.
    """
    path = Folder(Path(results_dir)).model(key)
    saved = load(path, f"model/{path.stem}")
    spec, meta = saved.spec, saved.meta
    here = backbones.identify(spec)
    if here.digest != meta["weights_digest"]:
        trained = f"{meta.get('weights_origin', 'others')} ({meta['weights_digest']})"
        raise ModelError(
            f"trained with the backbone weights {trained}, but here they are {here.origin} ({here.digest})",
            where=f"model {key}",
            valid=f"the same weights at $HQC_WEIGHTS/{spec.backbone}.pth",
        )
    classifier = _restored(saved)
    if device is None:
        return classifier
    options = {"name": device} if isinstance(device, str) else device
    return classifier.on(options if isinstance(options, Device) else devices.get(**options))
