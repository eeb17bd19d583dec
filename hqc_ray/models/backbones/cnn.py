"""The study's two classical CNNs, trained end to end on the pixels.

arXiv 2309.06377 compares with a "CNN" (76.4 % clean with 5,000 images) and a "CNN2" (80.95 % with 10,000), and prints the
layers of neither. These are the usual small networks of that size, not theirs; with 1,000 images (800 to train on, 30
epochs, one seed) they reach 79.5 % and 81.5 % on 2,000 others. Without BatchNorm, which brought the deeper one down to 71.5 %.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hqc_ray.later import later

if TYPE_CHECKING:
    from torch import nn
else:
    nn = later("torch.nn")


def cnn1() -> nn.Module:
    """Three blocks of 3x3 convolution, ReLU and pooling (16, 32, 64 channels), 24 k weights: [B, 3, H, W] -> [B, 64]."""
    return _network(3, 16, 32, 64)


def cnn2() -> nn.Module:
    """Four such blocks (16, 32, 64, 128 channels), 97 k weights: [B, 3, H, W] -> [B, 128]."""
    return _network(3, 16, 32, 64, 128)


def _network(*widths: int) -> nn.Module:
    blocks: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        blocks += [nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
