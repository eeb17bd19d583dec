"""An attack step (forward and input gradient) on a vqc1 hybrid through its surrogate, against the tanh control.

Behind resnet18 at 96 pixels with random weights, 32 images; the noise of the device does not change the surrogate's cost.
"""

from __future__ import annotations

import common
import torch

from hqc_ray import devices
from hqc_ray.attacks.view import View
from hqc_ray.models import backbones, heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec


def classifier(head: str, backbone: backbones.Backbone) -> Classifier:
    """An untrained hybrid on a noisy device, or its control."""
    spec = ModelSpec(backbone="resnet18", weights="random", head=head, n_qubits=4)
    built = heads.build(spec, backbone.n_features, 2, torch.Generator().manual_seed(0))
    return Classifier(backbone, built).eval().requires_grad_(False).on(devices.get("qiskit.aer", noise="fake_manila"))


def main() -> None:
    """Measure and record the ratio."""
    torch.set_num_threads(1)
    backbone = backbones.get("resnet18", "random")
    images, labels = torch.rand(32, 3, 96, 96), torch.arange(32) % 2
    views = {head: View(classifier(head, backbone), len(images)) for head in ("tanh", "vqc1")}
    medians = common.alternate(25, **{head: lambda v=view: v.gradient(images, labels) for head, view in views.items()})
    ratio = medians["vqc1"] / medians["tanh"]
    per_image = 1000 * medians["tanh"] / len(images)
    common.record("attack step, vqc1 through its surrogate / tanh", f"{ratio:.3f} ({per_image:.1f} ms an image)", "1.05")


if __name__ == "__main__":
    main()
