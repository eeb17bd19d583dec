"""What a backbone is as a torch module: pixels in [0, 1] to a feature vector, with resize and normalisation inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hqc_ray.errors import ModelError
from hqc_ray.models.backbones import folding
from hqc_ray.models.backbones.checkpoint import first_line
from hqc_ray.spec import sides

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PROBE = (96, 96)  # pixels of the black image that tells the number of features, where images are not resized


class Backbone(nn.Module):
    """A feature extractor; unless `trainable`, it is frozen and stays in eval mode whatever `train()` says.

    Args:
        body: normalised images [B, 3, image_size, image_size] -> features [B, F].
        image_size: side in pixels, or (height, width), to which images are resized; images of that size are left as they are,
            and all images are where it is None.
        trainable: trained end to end instead of frozen.

    Raises:
        ModelError: the body does not accept images of this size, or does not give [B, F].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, image_size: int | tuple[int, int] | None, trainable: bool = False) -> None:
        super().__init__()
        self.image_size, self.trainable = None if image_size is None else sides(image_size), trainable
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        # channels last: on a CPU 10 % (resnet18) to 40 % (squeezenet) faster
        self.body = body.to(memory_format=torch.channels_last)
        self.requires_grad_(trainable)
        self.eval()
        self.n_features = self._probe()

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, F] of images [B, 3, H, W] in [0, 1], both on the backbone's device; differentiable in the pixels."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"images have the shape {list(images.shape)}", valid="[B, 3, H, W]")
        if self.image_size is not None and images.shape[-2:] != self.image_size:
            images = interpolate(images, self.image_size, mode="bilinear", antialias=True)
        return self.body(((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last))

    @property
    def device(self) -> torch.device:
        """Where it is, and where its images must be."""
        return self.mean.device

    def folded(self) -> Backbone:
        """This backbone, with BatchNorm folded into its convolutions where that keeps its features; for a frozen one only."""
        generator = torch.Generator().manual_seed(0)
        body = folding.folded(self.body, torch.randn(2, 3, *(self.image_size or PROBE), generator=generator).to(self.device))
        self.body = body.to(memory_format=torch.channels_last).requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> Backbone:
        """Training mode, for a trainable backbone only: a frozen one keeps its BatchNorm statistics and no dropout."""
        return super().train(mode and self.trainable)

    def _probe(self) -> int:
        """The number of features, found by one black image."""
        height, width = self.image_size or PROBE
        try:
            with torch.inference_mode():
                features = self(torch.zeros(1, 3, height, width))
        except (RuntimeError, AssertionError, ValueError) as problem:
            size = height if height == width else f"{height} x {width}"
            refusal = ModelError(f"does not accept images of {size} pixels: {first_line(problem)}", where="image_size")
            raise refusal.with_traceback(problem.__traceback__) from problem  # with the place in a user's own code
        if not isinstance(features, Tensor):
            raise ModelError(f"gives a {type(features).__name__} for one image", valid="features [B, F]")
        if features.ndim != 2 or not features.numel():
            raise ModelError(f"gives {list(features.shape)} for one image", valid="features [B, F]")
        if not bool(torch.isfinite(features).all()):
            raise ModelError("gives NaN or infinity for a black image", where="weights", valid="weights of a trained network")
        return int(features.shape[1])
