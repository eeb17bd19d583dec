"""Members of an ensemble that search another model, and try what fools that one: a circuit's control, its ideal twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from hqc_ray.attacks.balls import per_image, project, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import margin
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
    """What the whole attack, searching the ideal twin once for all devices, has found there: no gradient is taken for it here.

    A search stops as soon as it fools, often just behind the boundary or inside the ball, and noise moves the boundary: so each
    perturbation is also tried at the end of the ball that it points to, and the one with the larger margin counts.

    Only where a search may stop at success, on another device than the ideal one; elsewhere nothing would be saved.
    """

    title: ClassVar[str] = "ideal twin's images"
    one_search: ClassVar[bool] = False  # at the next epsilon, only who is still right is looked at

    @property
    def borrows(self) -> tuple[str, ...]:
        """The images of the ideal twin."""
        return ("ideal",)

    def applies(self, view: View) -> bool:
        """Where the ideal twin was searched before."""
        return super().applies(view) and view.borrowed.ideal is not None

    def per_search(self, n_classes: int) -> float:
        """No gradient."""
        return 0.0

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield what has fallen there at each epsilon or a smaller one.

        Raises:
            AttackError: nothing is known of the ideal twin.
        """
        if view.borrowed.ideal is None:
            raise AttackError("there are no images of an ideal twin", where="ideal", valid="a search of a circuit on a device")
        for epsilon in epsilons:
            found = view.borrowed.ideal.at(epsilon, values)
            end = values + epsilon * steepest(found - values, self.norm)
            far = project(end, values, epsilon, self.norm, view.space)
            farther = margin(view.expected(far), labels) > margin(view.expected(found), labels)
            yield torch.where(per_image(farther, values), far, found)
