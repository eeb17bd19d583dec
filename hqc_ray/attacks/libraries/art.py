"""Attacks of the Adversarial Robustness Toolbox (Nicolae et al., arXiv 1807.01069), which computes in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hqc_ray.attacks.balls import NORMS
from hqc_ray.attacks.libraries.adapter import BOXED, L2, LINF, Adapter, Call, Facts, Library
from hqc_ray.later import later
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = later("torch")
    nn = later("torch.nn")


class Art(Adapter):
    """An attack of ART, within the box of its level."""

    levels: ClassVar[tuple[Level, ...]] = BOXED

    def found(self, model: nn.Module, images: Tensor, labels: Tensor, starts: Tensor | None, call: Call) -> Tensor:
        """See `Adapter`."""
        from art.estimators.classification import PyTorchClassifier

        n_classes, where = model(images[:1]).shape[1], images.device
        low, high = np.float32(call.space.low), np.float32(call.space.high)
        device = {"device_type": "gpu" if where.type == "cuda" else "cpu", "clip_values": (low, high)}
        classifier = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(images.shape[1:]), n_classes, **device)
        norm = np.inf if self.norm == "linf" else 2
        attack = call.make(
            self.source, classifier, eps=call.epsilon, norm=norm, targeted=False, verbose=False, batch_size=len(images)
        )
        further = {} if starts is None else {"x_adv_init": starts.cpu().numpy()}
        found = attack.generate(images.cpu().numpy(), y=labels.cpu().numpy(), **further)
        return torch.from_numpy(np.asarray(found, dtype=np.float32)).to(where)


_TWO = ("cannot work on two classes", "autoattack, apgd")
_LOSSES = {"loss_type": ("cross_entropy", "difference_logits_ratio")}

ART = Library(
    name="art",
    title="ART",
    distribution="adversarial-robustness-toolbox",
    module="art.attacks.evasion",
    base=Art,
    attacks={
        "FastGradientMethod": Facts(NORMS, hidden=("eps_step", "minimal", "num_random_init")),
        "BasicIterativeMethod": Facts(LINF, stride=1.25),
        "ProjectedGradientDescent": Facts(NORMS, stride=2.5, random=True, hidden=("random_eps",)),
        "MomentumIterativeMethod": Facts(NORMS, stride=1.0),
        "AutoProjectedGradientDescent": Facts(NORMS, stride=2.0, each=True, random=True, choices=_LOSSES),
        "SquareAttack": Facts(NORMS, random=True, black_box=True),
        "DeepFool": Facts(L2, kind="minimal", hidden=("epsilon",)),
        "CarliniL2Method": Facts(L2, kind="minimal"),
        "CarliniLInfMethod": Facts(LINF, kind="minimal"),
        "NewtonFool": Facts(L2, kind="minimal"),
        "HopSkipJump": Facts(NORMS, kind="minimal", random=True, black_box=True, starts=True),
        "BoundaryAttack": Facts(L2, kind="minimal", random=True, black_box=True, starts=True, hidden=("epsilon",)),
    },
    refused={
        "AutoAttack": _TWO,
        "SignOPTAttack": ("refuses models of two classes", "art:HopSkipJump, square"),
        "AutoConjugateGradient": ("was found to be weak on two classes", "art:AutoProjectedGradientDescent, apgd"),
        "CarliniL0Method": ("searches in l0, which is no norm here", "art:CarliniL2Method, art:CarliniLInfMethod"),
        "ElasticNet": ("searches in l1, which is no norm here", "art:CarliniL2Method, art:CarliniLInfMethod"),
    },
    hidden=("estimator", "classifier", "eps", "targeted", "batch_size", "verbose", "summary_writer"),
)
