"""Training: of a head on cached features, or of a whole CNN on images."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hqc_ray import seeds
from hqc_ray.errors import HqcError, ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.features import extract, pixels
from hqc_ray.quantum import devices
from hqc_ray.spec import ModelSpec, TrainSpec

EVALUATION_BATCH = 256

Epoch = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """The outcome of a training.

    Attributes:
        state: the trained tensors at the best epoch, as `classifier.assemble` takes them.
        history: of each epoch its number (from 1), train_loss, train_accuracy and, if there is a validation part,
            validation_loss, validation_accuracy. The train figures are means over the epoch's steps, while weights move.
        best_epoch: the epoch of `state`: highest validation accuracy, then lowest validation loss, then first; without a
            validation part, the last one.
    """

    state: dict[str, Tensor]
    history: list[Epoch]
    best_epoch: int


def train(
    spec: ModelSpec,
    train_spec: TrainSpec,
    inputs: np.ndarray,
    labels: np.ndarray,
    train_idx: np.ndarray,
    validation_idx: np.ndarray,
    seed: int,
    backbone: Backbone | None = None,
    *,
    n_classes: int,
    processor: str = "cpu",
) -> Trained:
    """Adam on cross-entropy. Equal arguments give equal bits, on one thread; the global random state is not touched.

    Args:
        spec: backbone and head.
        train_spec: epochs, batch size, learning rate, and the device that the circuit is trained on.
        inputs: features float32 [n, F] of the frozen backbone, or images uint8 [n, H, W, 3].
        labels: [n], in 0..K-1.
        train_idx: positions into inputs that are trained on.
        validation_idx: positions that choose the epoch; may be empty.
        seed: of the first weights and of the order of batches, two independent streams.
        backbone: the frozen backbone, if it is at hand and inputs are images; None: made from `spec`.
        n_classes: K.
        processor: torch's device, on which a CNN is trained; heads, which are small, are trained on the CPU.

    Raises:
        ModelError: nothing to train on, a label that is no class, or features for a backbone that is trained end to end.
        DeviceError: a device without exact gradients for the circuit's weights.
        HqcError: the loss is no longer finite.
    """
    if len(train_idx) == 0:
        raise ModelError("there are no images to train on", where="train_idx")
    values = _values(spec, inputs, backbone)
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    if len(targets) and int(targets.max()) >= n_classes:
        raise ModelError(f"the label {int(targets.max())}", where="labels", valid=f"0 to {n_classes - 1}")
    model = _model(spec, train_spec, values, train_idx, n_classes, torch.Generator().manual_seed(seeds.stream(seed, "init")))
    if values.dtype == np.uint8:
        model, targets = model.to(processor), targets.to(processor)
    optimizer = torch.optim.Adam(model.parameters(), lr=train_spec.learning_rate, fused=True)
    order = torch.Generator().manual_seed(seeds.stream(seed, "batches"))
    history: list[Epoch] = []
    best = (-math.inf, -math.inf)
    for number in range(1, train_spec.epochs + 1):
        shuffled = np.asarray(train_idx)[torch.randperm(len(train_idx), generator=order).numpy()]
        loss, accuracy = _pass(model, values, targets, shuffled, train_spec.batch_size, optimizer)
        if not math.isfinite(loss):
            setting = f"learning rate {train_spec.learning_rate}, seed {seed}"
            raise HqcError(f"training {spec.backbone} + {spec.head} diverged: the loss is {loss} in epoch {number} ({setting})")
        epoch = {"epoch": number, "train_loss": loss, "train_accuracy": accuracy}
        score = (float(number), 0.0)
        if len(validation_idx):
            loss, accuracy = _pass(model, values, targets, np.asarray(validation_idx), EVALUATION_BATCH)
            epoch |= {"validation_loss": loss, "validation_accuracy": accuracy}
            score = (accuracy, -loss)
        history.append(epoch)
        if score > best:
            best, best_epoch = score, number
            state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
    return Trained(state, history, best_epoch)


def _values(spec: ModelSpec, inputs: np.ndarray, backbone: Backbone | None) -> np.ndarray:
    """What the trained part reads: images uint8 if it begins with a CNN, else features float32."""
    trainable, images = backbones.entry(spec).trainable, inputs.dtype == np.uint8
    if trainable and not images:
        raise ModelError("is trained on images, not on features", where=spec.backbone, valid="uint8 [n, H, W, 3]")
    if trainable or not images:
        return inputs if images else inputs.astype(np.float32, copy=False)
    return extract(backbone or backbones.build(spec), inputs)


def _model(
    spec: ModelSpec, train_spec: TrainSpec, values: np.ndarray, train_idx: np.ndarray, n_classes: int, generator: torch.Generator
) -> nn.Module:
    """What is trained, with first weights, on its device; the names of its tensors are those in `Classifier`."""
    backbone = None
    if values.dtype == np.uint8:
        backbone = backbones.build(spec, "random", generator)
    head = heads.build(spec, backbone.n_features if backbone else values.shape[1], n_classes, generator)
    if train_spec.device is not None:
        head.train_on(devices.get(train_spec.device.name, **train_spec.device.options))
    if backbone:
        return Classifier(backbone, head)
    head.standardise(torch.from_numpy(values[train_idx]))
    return nn.Sequential(OrderedDict(head=head))


def _pass(
    model: nn.Module,
    values: np.ndarray,
    labels: Tensor,
    order: np.ndarray,
    size: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[float, float]:
    """Mean loss and accuracy over `order`, in batches of `size`; with an optimizer, a step after each batch."""
    model.train(optimizer is not None)
    loss_sum, correct = 0.0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = pixels(values[chosen]) if values.dtype == np.uint8 else torch.from_numpy(values[chosen])
            logits, target = model(batch.to(labels.device)), labels[chosen]
            loss = cross_entropy(logits, target)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(chosen)
            correct += int((logits.argmax(1) == target).sum())
    return loss_sum / len(order), correct / len(order)
