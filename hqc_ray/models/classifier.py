"""A classifier is one torch module from pixels to logits; how it is saved, and how it is loaded again."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hqc_ray.errors import HqcError, ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.models.backbones import Backbone
from hqc_ray.models.heads import Bottleneck, Head
from hqc_ray.models.weights import first_line
from hqc_ray.quantum import devices
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices import Device
from hqc_ray.spec import ModelSpec, expand


class Classifier(nn.Module):
    """Pixels to logits: images [B, 3, H, W] in [0, 1] -> [B, 2]; resize and normalisation are inside.

    Args:
        backbone: images -> features [B, F].
        head: features -> logits.
        shots: of the device that the head's circuit is on; None for an exact device, or no device.
    """

    def __init__(self, backbone: Backbone, head: Head, shots: int | None = None) -> None:
        super().__init__()
        self.backbone, self.head, self.shots = backbone, head, shots

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, 2] of images [B, 3, H, W] in [0, 1]: exact also on a device with shots, differentiable."""
        return self.head(self.backbone(images))

    def features(self, images: Tensor) -> Tensor:
        """Features [B, F] of images [B, 3, H, W] in [0, 1]."""
        return self.backbone(images)

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, 2] of features [B, F]."""
        return self.head(features)

    def on(self, device: Device) -> Classifier:
        """This classifier with its circuit on `device`, as an exact surrogate; the backbone is shared.

        Without a circuit there is nothing to put on a device: the head is the same.

        Raises:
            DeviceError: the device cannot run the circuit.
            CircuitError: the circuit has no exact surrogate on this device.
        """
        head = self.head.on(device)
        return Classifier(self.backbone, head, device.shots if head is not self.head else None).eval()

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
        core = getattr(self.head, "core", None)
        return isinstance(core, Surrogate) and core.measured

    @property
    def max_error(self) -> float | None:
        """Of the surrogate, in probability; None without one."""
        core = getattr(self.head, "core", None)
        return core.max_error if isinstance(core, Surrogate) else None

    def sampled_from(
        self, features: Tensor, shots: int, generator: torch.Generator, repeats: int = 1, replicas: torch.Generator | None = None
    ) -> Tensor:
        """Logits [repeats, B, 2] of features [B, F], each from `shots` fresh samples of every circuit; no gradient.

        With `replicas`, each from another replicate of a measured surrogate, drawn from that generator.

        Raises:
            ModelError: the model has no circuit on a device (see `on`).
        """
        head, core = self.head, getattr(self.head, "core", None)
        if not isinstance(head, Bottleneck) or not isinstance(core, Surrogate):
            raise ModelError("there is no circuit on a device to sample from", valid="a model with a circuit, after on(device)")
        with torch.no_grad():
            return head.readout(core.samples(head.angles(features), shots, generator, repeats, replicas))

    def sampled(self, shots: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
        """A function images [B, 3, H, W] -> logits [B, 2] that samples every circuit afresh, `shots` times.

        Raises:
            ModelError: the model has no circuit on a device (see `on`).
        """
        self.sampled_from(torch.zeros(1, self.backbone.n_features), shots, generator)  # refuse now, not at the first image

        def judge(images: Tensor) -> Tensor:
            with torch.no_grad():
                return self.sampled_from(self.backbone(images), shots, generator)[0]

        return judge

    def judge(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Logits [B, 2] as the device gives them: sampled if it has shots, else the same as `forward`; no gradient."""
        with torch.no_grad():
            return self.sampled(self.shots, generator)(images) if self.shots else self(images)


@dataclass(frozen=True)
class Saved:
    """What a model file holds: the specification, the trained tensors, and facts about the training."""

    spec: ModelSpec
    state: dict[str, Tensor]
    meta: dict[str, Any]


def trained_state(classifier: Classifier) -> dict[str, Tensor]:
    """Copies of the tensors that training made: of the head, and of the backbone where that is trained too."""
    prefixes = ("head.", "backbone.") if classifier.backbone.trainable else ("head.",)
    return {key: value.detach().clone() for key, value in classifier.state_dict().items() if key.startswith(prefixes)}


def assemble(spec: ModelSpec, state: Mapping[str, Tensor], backbone: Backbone | None = None) -> Classifier:
    """The classifier of `spec` with trained tensors, in eval mode, frozen.

    Args:
        spec: what was trained.
        state: of `trained_state`.
        backbone: a frozen one at hand, so that it is not read again; None: made from `spec`.

    Raises:
        ModelError: the state is of another specification.
    """
    if backbone is None or backbone.trainable:
        backbone = backbones.get(spec.backbone, expand(spec.weights), spec.image_size)
    classifier = Classifier(backbone, heads.build(spec, backbone.n_features, torch.Generator()))
    wanted = {key: value.shape for key, value in trained_state(classifier).items()}
    differing = sorted(key for key in {*wanted, *state} if key not in state or wanted.get(key) != state[key].shape)
    if differing:
        raise ModelError(
            f"the saved tensors are of another model: {differing[0]!r} differs", where=f"{spec.backbone} + {spec.head}"
        )
    classifier.load_state_dict(state, strict=False)  # not strict: a frozen backbone's tensors are not in it
    return classifier.eval().requires_grad_(False)


def dumps(spec: ModelSpec, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """The content of a model file; equal arguments give equal bytes.

    Raises:
        HqcError: `meta` lacks "weights_digest", without which nobody could tell later which backbone the head belongs to.
    """
    if "weights_digest" not in meta:
        raise HqcError("a model's meta must hold the weights_digest of its backbone")
    buffer = io.BytesIO()  # not the file itself: torch writes the file's name into its content
    torch.save({"spec": spec.model_dump(mode="json"), "state": dict(state), "meta": dict(meta)}, buffer)
    return buffer.getvalue()


def parse(content: bytes, where: str = "model file") -> Saved:
    """What `dumps` has written.

    Raises:
        ModelError: something else.
    """
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return Saved(ModelSpec(**found["spec"]), found["state"], found["meta"])
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError, ValidationError) as problem:
        raise ModelError(f"not a model of hqc_ray: {first_line(problem)}", where=where) from problem


def loads(content: bytes, backbone: Backbone | None = None) -> tuple[Classifier, dict[str, Any]]:
    """The classifier and the meta of what `dumps` has written; raises what `parse` and `assemble` raise."""
    saved = parse(content)
    return assemble(saved.spec, saved.state, backbone), saved.meta


def loads_meta(content: bytes) -> dict[str, Any]:
    """The meta alone, without building a network."""
    return parse(content).meta


def save(path: str | Path, spec: ModelSpec, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a model file, whole or not at all; raises what `dumps` raises."""
    path, content = Path(path), dumps(spec, state, meta)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def load(path: str | Path) -> Saved:
    """Read a model file.

    Raises:
        ModelError: it is not there, or not a model.
    """
    path = Path(path)
    try:
        return parse(path.read_bytes(), where=path.name)
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
    saved = load(_find(Path(results_dir) / "models", key))
    spec, meta = saved.spec, saved.meta
    here = backbones.weights_id(spec.backbone, expand(spec.weights))
    if here.digest != meta["weights_digest"]:
        trained = f"{meta.get('weights_origin', 'others')} ({meta['weights_digest']})"
        raise ModelError(
            f"trained with the backbone weights {trained}, but here they are {here.origin} ({here.digest})",
            where=f"model {key}",
            valid=f"the same weights at $HQC_WEIGHTS/{spec.backbone}.pth",
        )
    classifier = assemble(spec, saved.state)
    if device is None:
        return classifier
    options = {"name": device} if isinstance(device, str) else device
    return classifier.on(options if isinstance(options, Device) else devices.get(**options))


def _find(folder: Path, key: str) -> Path:
    """The one file of `folder` whose name begins with `key`."""
    stems = sorted(path.stem for path in folder.glob("*.pt"))
    found = [stem for stem in stems if stem == key] or [stem for stem in stems if stem.startswith(key)]
    if len(found) != 1:
        what = f"{len(found)} models begin with {key!r}" if found else f"no model {key!r}"
        raise ModelError(what, where=str(folder), valid=", ".join(found or stems) or "none: no model was trained in this folder")
    return folder / f"{found[0]}.pt"
