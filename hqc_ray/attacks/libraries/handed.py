"""What an attack of a library is given in place of a view."""

from __future__ import annotations

from torch import Tensor, nn

from hqc_ray.attacks.view import View


class Handed(nn.Module):
    """A view's model as libraries need it: any floating type in, logits of its own out that nobody else holds, and a device."""

    def __init__(self, view: View, values: Tensor) -> None:
        super().__init__()
        self.training = False
        self.inner, self.like = view.module(), values.dtype
        self.where = nn.Parameter(values.new_zeros(()), requires_grad=False)  # libraries ask the first parameter

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of `images` [B, ...], float32."""
        return self.inner(images.to(self.where.device, self.like)).float().clone()

    def train(self, mode: bool = True) -> Handed:
        """Nothing: see `View.module`."""
        return self
