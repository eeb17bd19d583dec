"""Members of an ensemble that search another model, and try what fools that one: a circuit's control, its ideal twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hqc_ray.attacks.balls import project, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.attacks.searches.gradient import PGD
from hqc_ray.errors import AttackError
from hqc_ray.later import later
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")


_STRIDE = 2.5  # the first step's size times their number, over epsilon: as in the climb of the bottleneck attack


class Control(PGD):
    """PGD with the whole budget on a circuit's control: the same bottleneck without a circuit, trained on the same images.

    The control is monotone, so that no corner of the bottleneck traps its gradient; what fools it is judged by the circuit.
    It has no part in an attack on angles: those of another model are other angles. A head that is no circuit has no control.

    Attributes:
        early_stop: without effect; being fooled is no reason for another model to stop.
    """

    title: ClassVar[str] = "control's PGD"
    levels: ClassVar[tuple[Level, ...]] = ("pixels", "features")

    @property
    def borrows(self) -> tuple[str, ...]:
        """The control."""
        return ("control",)

    def applies(self, view: View) -> bool:
        """Where there is a control."""
        return super().applies(view) and view.borrowed.control is not None

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the last iterates on the control.

        Raises:
            AttackError: there is none.
        """
        if view.borrowed.control is None:
            raise AttackError("there is no control whose gradient could be followed", where="control", valid="a circuit's search")
        return super().search(view.beside(view.borrowed.control), values, labels, epsilons, generator)


class Ideal(Attack):
    """What the whole attack, searching the ideal twin once for all devices, has found there, and a few steps from it.

    A search stops as soon as it fools, often just behind the boundary or inside the ball, and noise moves the boundary: so each
    perturbation is also tried at the end of the ball that it points to, and the one with the larger margin counts. Most images
    fall so without a gradient. Of those that fell on the twin and not here, the margin is climbed from there: they are close.

    Only where a search may stop at success, on another device than the ideal one; elsewhere nothing would be saved.

    Attributes:
        steps: on this device, of images that are still right there; 0 tries the twin's images alone.
    """

    title: ClassVar[str] = "ideal twin's images"
    one_search: ClassVar[bool] = False  # at the next epsilon, only who is still right is looked at
    steps: int = Field(3, ge=0, le=10_000)

    @property
    def borrows(self) -> tuple[str, ...]:
        """The images of the ideal twin."""
        return ("ideal",)

    def applies(self, view: View) -> bool:
        """Where the ideal twin was searched before."""
        return super().applies(view) and view.borrowed.ideal is not None

    def per_search(self, n_classes: int) -> float:
        """Hardly a gradient: few images need one."""
        return 0.0

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield what has fallen there at each epsilon or a smaller one, and where the steps from it lead.

        Raises:
            AttackError: nothing is known of the ideal twin.
        """
        if view.borrowed.ideal is None:
            raise AttackError("there are no images of an ideal twin", where="ideal", valid="a search of a circuit on a device")
        for epsilon in epsilons:
            yield self._from(view, values, labels, epsilon, view.borrowed.ideal.at(epsilon, values))

    def _from(self, view: View, values: Tensor, labels: Tensor, epsilon: float, found: Tensor) -> Tensor:
        """The best of the values that `found` has, the ends of the ball behind them, and the iterates that start there."""
        best, right = found.clone(), torch.ones_like(labels, dtype=torch.bool)
        margins = torch.full_like(labels, -torch.inf, dtype=values.dtype)

        def keep(ids: Tensor, x: Tensor) -> None:
            logits = view.expected(x)
            reached = margin(logits, labels[ids]).to(margins).nan_to_num(torch.inf)
            better = reached > margins[ids]
            best[ids[better]], margins[ids[better]] = x[better], reached[better]
            right[ids] &= ~fooled(logits, labels[ids])

        everyone = torch.arange(len(values), device=values.device)
        keep(everyone, found)
        keep(everyone, project(values + epsilon * steepest(found - values, self.norm), values, epsilon, self.norm, view.space))
        x, fell = best.clone(), (found != values).flatten(1).any(1)
        for step in range(self.steps):
            ids = (fell & right).nonzero()[:, 0]
            if not len(ids):
                break
            size = _STRIDE * epsilon / self.steps * (1 - step / self.steps)
            moved = x[ids] + size * steepest(view.gradient(x[ids], labels[ids], margin).gradient, self.norm)
            x[ids] = project(moved, values[ids], epsilon, self.norm, view.space)
            keep(ids, x[ids])
        return best
