"""What an attack is: options, and a search. What counts as success is decided in `contract`, once for all attacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hqc_ray.attacks.balls import Norm
from hqc_ray.attacks.view import View
from hqc_ray.entries import Entry
from hqc_ray.spec import Level


class Attack(Entry):
    """Base of the attacks; the fields are the options. Subclasses implement `search` and nothing else.

    Attributes:
        kind: "none" (a control that does not search), "budget" (searches inside a ball), "minimal" (searches the
            smallest perturbation, judged against every epsilon afterwards).
        one_search: one search serves every epsilon (False: each epsilon is searched on its own).
        norm: of the ball that epsilon is the radius of, in pixel units of [0, 1].
    """

    kind: ClassVar[Literal["none", "budget", "minimal"]] = "budget"
    one_search: ClassVar[bool] = True
    title: ClassVar[str] = ""
    levels: ClassVar[tuple[Level, ...]] = ("pixels", "features", "angles")
    norm: Norm = "linf"

    def cost(self, n_epsilons: int) -> float:
        """Interim."""
        return 8.0

    def search(
        self, view: View, images: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield one candidate [B, C, H, W] per epsilon, in order.

        A candidate need not lie in the ball or the box: the contract projects it, evaluates it again, and decides. The
        candidate of one epsilon must not depend on the others (see `rewound`).

        Args:
            view: the model; all gradients and evaluations go through it, and are counted there.
            images: [B, C, H, W] in [0, 1], all of them classified correctly so far.
            labels: [B] int64, the true classes.
            epsilons: all greater than 0.
            generator: the random stream of this batch, on the CPU whatever the device of the images.
        """
        raise NotImplementedError


def rewound(generator: torch.Generator) -> torch.Generator:
    """The same stream from its beginning, so that each epsilon draws the same numbers whatever was drawn before."""
    return torch.Generator().manual_seed(generator.initial_seed())
