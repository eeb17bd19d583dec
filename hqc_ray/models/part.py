"""A classifier cut in two at a level: what comes before it, once per image, and what an attack differentiates again and again."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hqc_ray.errors import ModelError
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.head import Head
from hqc_ray.spec import Level


class Rest(nn.Module):
    """A head from the values of a level on: standardised features [B, F], or angles [B, Q], to logits [B, K]."""

    def __init__(self, head: Head, level: Level) -> None:
        super().__init__()
        self.head, self.level = head, level

    def forward(self, values: Tensor) -> Tensor:
        """Logits [B, K]."""
        return self.head.logits(values) if self.level == "features" else self.head.decided(values)

    @property
    def bottleneck(self) -> bool:
        """Whether the head has one."""
        return self.head.bottleneck

    def preactivations(self, values: Tensor) -> Tensor:
        """Pre-activations [B, Q] of the head (see `Head`); the angles themselves, where these are the values."""
        return self.head.preactivations(values) if self.level == "features" else values

    def concluded(self, preactivations: Tensor) -> Tensor:
        """Logits [B, K] of what `preactivations` gives."""
        return self.head.concluded(preactivations) if self.level == "features" else self.head.decided(preactivations)

    @property
    def stochastic(self) -> bool:
        """Whether the logits are random samples, so that `drawn` gives others."""
        return self.head.stochastic

    def drawn(self, k: int) -> Rest:
        """The k-th independent draw of a stochastic head; itself where nothing is stochastic."""
        return Rest(self.head.drawn(k), self.level) if self.stochastic else self


@dataclass(frozen=True, eq=False)
class Part:
    """A classifier at a level (see `Classifier.at`); `rest(encode(images))` are its logits.

    Attributes:
        level: what `values` are: images [B, 3, H, W] in [0, 1], standardised features [B, F], or angles [B, Q] in radians.
        rest: values -> logits [B, K], differentiable; it never runs the backbone, but for images.
    """

    level: Level
    backbone: Backbone
    head: Head
    rest: nn.Module

    def encode(self, images: Tensor) -> Tensor:
        """The values of images [B, 3, H, W] in [0, 1]; differentiable."""
        return images if self.level == "pixels" else self.from_features(self.backbone(images))

    def from_features(self, features: Tensor) -> Tensor:
        """The values of features [B, F] as the backbone gives them, without running it.

        Raises:
            ModelError: the values are images.
        """
        if self.level == "pixels":
            raise ModelError("features do not tell the images", where="level", valid="features, angles")
        return self.head.standardised(features) if self.level == "features" else self.head.angles(features)

    def preactivations(self, features: Tensor) -> Tensor:
        """What `rest.preactivations` gives [B, Q] for features [B, F] as the backbone gives them, without running it."""
        values = self.head.standardised(features)
        return self.head.squeezed(values) if self.level == "angles" else self.head.preactivations(values)
