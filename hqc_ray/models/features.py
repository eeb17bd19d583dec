"""Images to features, once per backbone: heads train on these instead of running the backbone in every epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hqc_ray.errors import ModelError
from hqc_ray.models.backbones.backbone import Backbone


def pixels(images: np.ndarray) -> Tensor:
    """uint8 [n, H, W, 3] -> float32 [n, 3, H, W] in [0, 1], as classifiers and attacks take them.

    Raises:
        ModelError: another shape or type.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ModelError(f"images are {images.dtype} {list(images.shape)}", valid="uint8 [n, H, W, 3]")
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def extract(backbone: Backbone, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Features float32 [n, F] of images uint8 [n, H, W, 3], on the device that the backbone is on.

    Every batch has the same size, the last one being filled up with black images: the arithmetic of an image, down to the
    last bit, then does not depend on how many others are in the call. (Libraries choose their kernel by the batch size.)
    """
    if batch_size < 1:
        raise ModelError(f"{batch_size} images", where="batch_size", valid="a positive number")
    result = np.empty((len(images), backbone.n_features), dtype=np.float32)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        filled = np.zeros((batch_size, *images.shape[1:]), dtype=images.dtype)
        filled[: len(batch)] = batch
        with torch.inference_mode():
            features = backbone(pixels(filled).to(backbone.device))
        result[start : start + len(batch)] = features[: len(batch)].float().cpu().numpy()
    return result
