"""Backbones and heads with a planted fault, as a user would write them, and what is odd but sound."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from hqc_ray.models.functions import Direct
from hqc_ray.models.head import Bottleneck, Dense, linear
from hqc_ray.models.heads import HeadEntry


class StraightThrough(torch.autograd.Function):
    """4 bits, with the gradient of what is not rounded."""

    @staticmethod
    def forward(ctx, values):
        return (values * 15).round() / 15

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class WrongSigns(torch.autograd.Function):
    """The same values, with a gradient of random signs."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.abs() * torch.randn(gradient.shape, generator=torch.Generator().manual_seed(5)).sign().to(gradient)


class Before(nn.Module):
    """A function of the images, before anything else."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def network(first=lambda images: images):
    return nn.Sequential(Before(first), nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())


def sound():
    return network()


def detached():
    return network(lambda images: images.detach())


def half_detached():
    return network(lambda images: (images + 2 * images.detach()) / 3)


def rounded():
    return network(lambda images: (images * 15).round() / 15)


def straight_through():
    return network(StraightThrough.apply)


def wrong_signs():
    return network(WrongSigns.apply)


class Scaled(Dense):
    def logits(self, values):
        return 1e4 * super().logits(values)


class Softmax(Dense):
    def logits(self, values):
        return super().logits(values).softmax(1)


class LogSoftmax(Dense):
    def logits(self, values):
        return super().logits(values).log_softmax(1)


class Saturated(Bottleneck):
    """tanh of pre-activations so large that float32 knows no slope."""

    def preactivations(self, values):
        return 40 * super().preactivations(values)

    def squeezed(self, values):
        return torch.tanh(self.preactivations(values)) * (math.pi / 2)


class Shaken(Direct):
    """Random angles: each evaluation is another draw."""

    stochastic = True

    def forward(self, angles):
        return super().forward(angles + 0.3 * torch.randn_like(angles))


class FirstWireOnly(Direct):
    def forward(self, angles):
        return super().forward(angles) * torch.eye(angles.shape[1])[0]


class DenseEntry(HeadEntry):
    def build(self, n_features, n_classes, generator):
        return self.kind_of(n_features, n_classes, linear(n_features, n_classes, generator))


class ScaledHead(DenseEntry):
    kind_of: ClassVar[type] = Scaled


class SoftmaxHead(DenseEntry):
    kind_of: ClassVar[type] = Softmax


class LogSoftmaxHead(DenseEntry):
    kind_of: ClassVar[type] = LogSoftmax


class BottleneckEntry(HeadEntry):
    levels = Bottleneck.levels
    kind_of: ClassVar[type] = Bottleneck
    core: ClassVar[type] = Direct

    @property
    def width(self):
        return 3

    def build(self, n_features, n_classes, generator):
        return self.kind_of(n_features, n_classes, self.core(), 3, generator)


class SaturatedHead(BottleneckEntry):
    kind_of: ClassVar[type] = Saturated


class ShakenHead(BottleneckEntry):
    core: ClassVar[type] = Shaken


class DeadWiresHead(BottleneckEntry):
    core: ClassVar[type] = FirstWireOnly
