"""A toy problem, and small convnets trained on it once per session: 12 x 10 images, 2 or 3 classes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

SHAPE = (3, 12, 10)


@dataclass(frozen=True)
class Toy:
    model: nn.Module
    images: Tensor  # [200, 3, 12, 10] in [0, 1], not seen in training
    labels: Tensor  # [200]


class ConvNet(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(8 * 4 * 3, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images - 0.5) / 0.25)


def draw(n: int, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise with a bright patch of random strength, whose row tells the class."""
    labels = torch.arange(n) % classes
    images = 0.5 + 0.12 * torch.randn(n, *SHAPE, generator=generator)
    strength = 0.3 * torch.rand(n, generator=generator)
    for i, label in enumerate(labels.tolist()):
        images[i, :, 4 * label : 4 * label + 4, 2:7] += strength[i]
    return images.clamp(0, 1), labels


def train(classes: int) -> Toy:
    generator = torch.Generator().manual_seed(11)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = ConvNet(classes)
        images, labels = draw(600, classes, generator)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(8):
            for part in torch.randperm(600).split(50):
                optimiser.zero_grad()
                nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
                optimiser.step()
    with torch.no_grad():
        model.layers[-1].weight.mul_(0.2)  # the same predictions with less confidence: float32 losses are not rounded to 0
        model.layers[-1].bias.mul_(0.2)
    return Toy(model.eval(), *draw(200, classes, generator))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy(_one_thread) -> Toy:
    return train(classes=2)


@pytest.fixture(scope="session")
def toy3(_one_thread) -> Toy:
    return train(classes=3)
