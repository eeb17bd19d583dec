"""An attack step (forward and input gradient) of a frozen resnet18 with its BatchNorm folded, against the network as it is.

At 96 pixels with random weights, 50 images, one thread; both with channels last. Also the largest difference of the features.
"""

from __future__ import annotations

import common
import torch
from torch import Tensor

from hqc_ray.models import backbones
from hqc_ray.models.backbones.backbone import Backbone


def statistics(body: torch.nn.Module) -> None:
    """BatchNorm statistics and weights as a trained network has them: with fresh ones there is hardly anything to fold."""
    generator = torch.Generator().manual_seed(0)
    for layer in body.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            n = layer.num_features
            layer.running_mean.copy_(0.3 * torch.randn(n, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(n, generator=generator))
            layer.weight.data.copy_(0.5 + torch.rand(n, generator=generator))


def step(backbone: Backbone, images: Tensor) -> Tensor:
    """The input gradient."""
    pixels = images.clone().requires_grad_()
    return torch.autograd.grad(backbone(pixels).square().sum(), pixels)[0]


def main() -> None:
    """Measure and record the ratio and the difference."""
    torch.set_num_threads(1)
    made = backbones.BACKBONES["resnet18"]()
    body = made.build()
    made.initialise(body, torch.Generator().manual_seed(0))
    statistics(body)
    plain, folded = Backbone(body, 96), Backbone(body, 96).folded()
    images = torch.rand(50, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    medians = common.alternate(5, plain=lambda: step(plain, images), folded=lambda: step(folded, images))
    with torch.inference_mode():
        before, after = plain(images), folded(images)
    difference = float((after - before).abs().max() / before.abs().max())
    told = f"{medians['folded'] / medians['plain']:.2f}, features differ by {difference:.0e} of the largest"
    common.record("attack step, resnet18 with BatchNorm folded / as it is", told, "0.95")


if __name__ == "__main__":
    main()
