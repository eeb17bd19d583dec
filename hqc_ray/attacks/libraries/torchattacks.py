"""Attacks of torchattacks (Kim, arXiv 2010.01950). It clips to [0, 1], so it searches pixels only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hqc_ray.attacks.balls import NORMS
from hqc_ray.attacks.libraries.adapter import L2, LINF, Adapter, Call, Facts, Library
from hqc_ray.spec import Level

if TYPE_CHECKING:
    from torch import Tensor, nn


class Torchattacks(Adapter):
    """An attack of torchattacks."""

    levels: ClassVar[tuple[Level, ...]] = ("pixels",)

    def found(self, model: nn.Module, images: Tensor, labels: Tensor, starts: Tensor | None, call: Call) -> Tensor:
        """See `Adapter`."""
        norm = self.norm.capitalize()
        attack = call.make(self.source, model, eps=call.epsilon, norm=norm, seed=call.seed, verbose=False)
        return attack(images, labels)


_TWO = ("needs more than two classes", "autoattack, apgd, torchattacks:APGD")
_FEW = ("changes few pixels by any amount: it searches in l0, which is no norm here", "square, torchattacks:Square")
_MOMENTUM = Facts(LINF, stride=1.0)

TORCHATTACKS = Library(
    name="torchattacks",
    title="torchattacks",
    distribution="torchattacks",
    module="torchattacks",
    base=Torchattacks,
    attacks={
        "FGSM": Facts(LINF),
        "RFGSM": Facts(LINF, stride=0.5, each=True, random=True),
        "FFGSM": Facts(LINF, stride=1.25, each=True, random=True),
        "BIM": Facts(LINF, stride=1.25),
        "PGD": Facts(LINF, stride=2.5, random=True),
        "PGDL2": Facts(L2, stride=2.5, random=True),
        "TPGD": Facts(LINF, stride=2.5, random=True),
        "UPGD": Facts(LINF, stride=2.5, random=True, hidden=("loss",)),
        "MIFGSM": _MOMENTUM,
        "NIFGSM": _MOMENTUM,
        "SINIFGSM": _MOMENTUM,
        "VMIFGSM": Facts(LINF, stride=1.0, random=True, hidden=("beta",)),
        "VNIFGSM": Facts(LINF, stride=1.0, random=True, hidden=("beta",)),
        "APGD": Facts(NORMS, random=True, choices={"loss": ("ce", "dlr")}),
        "FAB": Facts(NORMS, random=True),
        "Square": Facts(NORMS, random=True, black_box=True, choices={"loss": ("margin", "ce")}),
        "CW": Facts(L2, kind="minimal"),
        "DeepFool": Facts(L2, kind="minimal"),
    },
    refused={
        **dict.fromkeys(("APGDT", "AutoAttack", "Jitter"), _TWO),
        "EOTPGD": ("asks a model twice for the same answer", "torchattacks:PGD with draws"),
        **dict.fromkeys(("OnePixel", "Pixle", "SparseFool"), _FEW),
    },
    hidden=("model", "eps", "seed", "verbose", "n_classes", "multi_targeted", "targeted", "eps_for_division", "eot_iter"),
)
