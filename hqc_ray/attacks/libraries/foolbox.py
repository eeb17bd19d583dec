"""Attacks of Foolbox (Rauber et al., arXiv 1707.04131). Each is run without its own judge of success."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hqc_ray.attacks.balls import NORMS
from hqc_ray.attacks.libraries.adapter import BOXED, L2, LINF, Adapter, Call, Facts, Library
from hqc_ray.spec import Level

if TYPE_CHECKING:
    from torch import Tensor, nn


class Foolbox(Adapter):
    """An attack of Foolbox, within the box of its level."""

    levels: ClassVar[tuple[Level, ...]] = BOXED

    def found(self, model: nn.Module, images: Tensor, labels: Tensor, starts: Tensor | None, call: Call) -> Tensor:
        """See `Adapter`."""
        from foolbox.criteria import Misclassification
        from foolbox.models.pytorch import PyTorchModel

        where = PyTorchModel(model, bounds=(call.space.low, call.space.high), device=images.device)
        further = (
            {"epsilon": call.epsilon} if self.kind == "budget" else {"starting_points": starts} if starts is not None else {}
        )
        return call.make(self.source, constraint=self.norm).run(where, images, Misclassification(labels), **further)


_LOSS = {"loss": ("logits", "crossentropy")}
_SEARCH = {"stepsize_search": ("geometric_progression", "grid_search")}
_FEW = ("needs numba, which is no part of hqc_ray", "foolbox:LInfFMNAttack, foolbox:L2FMNAttack, fab")


def _both(end: str, **facts: object) -> dict[str, Facts]:
    return {f"{norm}{end}": Facts(norms, **facts) for norm, norms in (("Linf", LINF), ("L2", L2))}  # type: ignore[arg-type]


FOOLBOX = Library(
    name="foolbox",
    title="Foolbox",
    distribution="foolbox",
    module="foolbox.attacks",
    base=Foolbox,
    attacks={
        "FGSM": Facts(LINF, random=True),
        "FGM": Facts(L2, random=True),
        **_both("FastGradientAttack", random=True),
        "PGD": Facts(LINF, stride=2.5, random=True),
        **_both("PGD", stride=2.5, random=True),
        **_both("ProjectedGradientDescentAttack", stride=2.5, random=True),
        **_both("AdamPGD", stride=2.5, random=True),
        **_both("BasicIterativeAttack", stride=1.25, random=True),
        "MIFGSM": Facts(LINF, stride=1.0, random=True),
        **_both("MomentumIterativeFastGradientMethod", stride=1.0, random=True),
        "LinfRepeatedAdditiveUniformNoiseAttack": Facts(LINF, random=True, black_box=True),
        "L2RepeatedAdditiveGaussianNoiseAttack": Facts(L2, random=True, black_box=True),
        "L2RepeatedAdditiveUniformNoiseAttack": Facts(L2, random=True, black_box=True),
        **_both("DeepFoolAttack", kind="minimal", choices=_LOSS),
        "LInfFMNAttack": Facts(LINF, kind="minimal", hidden=("binary_search_steps",)),
        "L2FMNAttack": Facts(L2, kind="minimal", hidden=("binary_search_steps",)),
        "DDNAttack": Facts(L2, kind="minimal"),
        "L2CarliniWagnerAttack": Facts(L2, kind="minimal"),
        "NewtonFoolAttack": Facts(L2, kind="minimal"),
        "HopSkipJumpAttack": Facts(
            NORMS, kind="minimal", random=True, black_box=True, starts=True, choices=_SEARCH, hidden=("constraint",)
        ),
        "BoundaryAttack": Facts(L2, kind="minimal", random=True, black_box=True, starts=True),
    },
    refused=dict.fromkeys(("L2BrendelBethgeAttack", "LinfinityBrendelBethgeAttack"), _FEW)
    | {
        name: (f"searches in {norm}, which is no norm here", "an attack in linf or l2, such as foolbox:LinfPGD")
        for norm, names in {
            "l1": ("L1PGD", "L1ProjectedGradientDescentAttack", "L1AdamPGD", "L1BasicIterativeAttack", "L1FastGradientAttack",
                   "L1MomentumIterativeFastGradientMethod", "L1FMNAttack", "L1BrendelBethgeAttack", "SparseL1DescentAttack",
                   "EADAttack"),
            "l0": ("L0FMNAttack", "L0BrendelBethgeAttack", "SaltAndPepperNoiseAttack", "PointwiseAttack"),
        }.items()
        for name in names
    },
    hidden=("tensorboard", "init_attack", "update_stats_every_k"),
)  # fmt: skip
