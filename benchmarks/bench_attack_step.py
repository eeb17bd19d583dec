"""An attack step (forward and input gradient) on a vqc1 hybrid through its surrogate, against the tanh control and bare torch.

Behind resnet18 at 96 pixels with random weights, 32 images, on a GPU where there is one; the noise of the device does not
change the surrogate's cost. Bare torch: forward and input gradient of the backbone alone, for the same batch.
"""

from __future__ import annotations

import common
import torch

from hqc_ray import devices
from hqc_ray.attacks.view import View
from hqc_ray.models import backbones, heads
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec


def classifier(head: str, backbone: Backbone) -> Classifier:
    """An untrained hybrid on a noisy device, or its control."""
    spec = ModelSpec(backbone="resnet18", weights="random", head=head, n_qubits=4)
    built = heads.build(spec, backbone.n_features, 2, torch.Generator().manual_seed(0))
    return Classifier(backbone, built).eval().requires_grad_(False).on(devices.get("qiskit.aer", noise="fake_manila"))


def main() -> None:
    """Measure and record the ratio."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = backbones.get("resnet18", "random").to(device)
    images, labels = torch.rand(32, 3, 96, 96, device=device), torch.arange(32, device=device) % 2
    views = {head: View(classifier(head, backbone).to(device), len(images)) for head in ("tanh", "vqc1")}
    steps = {head: lambda v=view: finished(v.gradient(images, labels)) for head, view in views.items()}
    medians = common.alternate(25, **steps, bare=lambda: finished(bare(backbone, images)))
    ratio, alone = medians["vqc1"] / medians["tanh"], medians["vqc1"] / medians["bare"]
    per_image = 1000 * medians["tanh"] / len(images)
    common.record("attack step, vqc1 through its surrogate / tanh", f"{ratio:.3f} ({per_image:.1f} ms per image)", "1.05")
    common.record(f"attack step on {device}, vqc1 through its surrogate / bare torch", f"{alone:.3f}", "1.2")


def bare(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    """The input gradient of the sum of the features."""
    images = images.detach().requires_grad_(True)
    return torch.autograd.grad(backbone(images).sum(), images)[0]


def finished(result: object) -> object:
    """A result that is there: a GPU's work is waited for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


if __name__ == "__main__":
    main()
