"""The study's two classical CNNs, trained end to end on the pixels."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def cnn1() -> nn.Module:
    """Three blocks of 3x3 convolution, ReLU and pooling (16, 32, 64 channels): [B, 3, H, W] -> [B, 64].

    arXiv 2309.06377 compares with a "CNN" (76.4 % clean with 5,000 images) and does not print its layers; this is the
    usual small network of that size, 24 k weights, not theirs.
    """
    return nn.Sequential(*_block(3, 16), *_block(16, 32), *_block(32, 64), *_pooled())


def cnn2() -> nn.Module:
    """Four blocks, the deeper ones wider, each convolution with BatchNorm (16, 32, 64, 128 channels): [B, 3, H, W] -> [B, 128].

    arXiv 2309.06377 compares with a "CNN2" (80.95 % clean with 10,000 images) and does not print its layers; this is a
    deeper sibling of `cnn1`, 98 k weights, not theirs.
    """
    widths = (3, 16, 32, 64, 128)
    blocks = [layer for i, o in pairwise(widths) for layer in _block(i, o, norm=True)]
    return nn.Sequential(*blocks, *_pooled())


def _block(inputs: int, outputs: int, norm: bool = False) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=not norm)
    return [convolution, *([nn.BatchNorm2d(outputs)] if norm else []), nn.ReLU(inplace=True), nn.MaxPool2d(2)]


def _pooled() -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
