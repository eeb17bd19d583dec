"""The loop of the iterative attacks: steps over the images of a batch that are not finished yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")

Look: TypeAlias = "Callable[[Tensor], tuple[Tensor, Tensor]]"  # active images [n] -> logits [n, K], directions [n, ...]
Move: TypeAlias = "Callable[[Tensor, Tensor], None]"  # active images [n], directions [n, ...]: take the step
Finished: TypeAlias = "Callable[[Tensor, Tensor, Tensor], Tensor]"  # active images [n], logits, directions -> [n] bool


def iterate(like: Tensor, steps: int, look: Look, move: Move, finished: Finished | None = None) -> None:
    """Look and move, `steps` times, until every image is finished.

    One transfer to the host per step, and none where nothing can be finished early.

    Args:
        like: [B, ...], whose images are active at first.
        steps: at most.
        look: what is seen where the active images are now, and where they should go.
        move: takes the step of the images that go on.
        finished: which images do not go on; they are not looked at again. None: each takes every step.
    """
    active = torch.arange(len(like), device=like.device)
    for _ in range(steps):
        logits, directions = look(active)
        if finished is not None:
            going = (~finished(active, logits, directions)).nonzero()[:, 0]
            if not len(going):
                break
            active, directions = active[going], directions[going]
        move(active, directions)
