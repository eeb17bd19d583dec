"""Work that is next to none, or that takes time without a processor, so that what is left is the cost of scheduling."""

from __future__ import annotations

import time

import torch

from hqc_ray.attacks import Clean

WAIT_SECONDS = 0.2  # of each batch through `waiting`


class Nothing(Clean):
    """Changes nothing; its number makes it a cell of its own."""

    number: int = 0


class _Wait(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The images, later."""
        time.sleep(WAIT_SECONDS)
        return images


def colours() -> torch.nn.Module:
    """A backbone without a layer: the mean of each colour."""
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def waiting() -> torch.nn.Module:
    """The same, slowly: many emulated nodes of it fit into one machine."""
    return torch.nn.Sequential(_Wait(), colours())
