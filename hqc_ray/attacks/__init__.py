"""Attacks: each only searches; `contract.run` projects, evaluates again, and decides success, once for all of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hqc_ray.attacks import libraries
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.searches.apgd import APGD
from hqc_ray.attacks.searches.autoattack import AutoAttack
from hqc_ray.attacks.searches.borrowing import Control, Ideal
from hqc_ray.attacks.searches.bottleneck import Bottleneck
from hqc_ray.attacks.searches.deepfool import DeepFool
from hqc_ray.attacks.searches.ensemble import Ensemble
from hqc_ray.attacks.searches.fab import FAB
from hqc_ray.attacks.searches.gradient import FGSM, PGD
from hqc_ray.attacks.searches.momentum import Momentum
from hqc_ray.attacks.searches.simple import Clean, Noise
from hqc_ray.attacks.searches.spsa import SPSA
from hqc_ray.attacks.searches.square import Square
from hqc_ray.attacks.spaces import SPACES, Space
from hqc_ray.entries import make
from hqc_ray.errors import AttackError
from hqc_ray.spec import AttackSpec

if TYPE_CHECKING:  # what runs an attack imports torch, and comes with the first use of a name
    from hqc_ray.attacks import contract
    from hqc_ray.attacks.contract import run
    from hqc_ray.attacks.judges import Exact, Judge
    from hqc_ray.attacks.losses import outputs_normalised
    from hqc_ray.attacks.result import Found, Predictions, Result, Verdict
    from hqc_ray.attacks.view import View

__all__ = [
    "APGD",
    "ATTACKS",
    "BORROWING",
    "FAB",
    "FGSM",
    "PGD",
    "SPACES",
    "SPSA",
    "Attack",
    "AutoAttack",
    "Bottleneck",
    "Clean",
    "DeepFool",
    "Ensemble",
    "Exact",
    "Found",
    "Judge",
    "Momentum",
    "Noise",
    "Predictions",
    "Result",
    "Space",
    "Square",
    "Verdict",
    "View",
    "contract",
    "get",
    "member",
    "outputs_normalised",
    "run",
]

_RUNNING = {
    "run": "contract",
    "Exact": "judges",
    "Judge": "judges",
    "outputs_normalised": "losses",
    **dict.fromkeys(("Found", "Predictions", "Result", "Verdict"), "result"),
    "View": "view",
}  # names of what runs an attack, and their modules


def __getattr__(name: str) -> Any:
    if name == "contract":
        return importlib.import_module(f"{__name__}.contract")
    if name not in _RUNNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_RUNNING[name]}"), name)


ATTACKS: dict[str, type[Attack]] = {
    "clean": Clean,
    "noise": Noise,
    "fgsm": FGSM,
    "pgd": PGD,
    "momentum": Momentum,
    "deepfool": DeepFool,
    "apgd": APGD,
    "fab": FAB,
    "square": Square,
    "spsa": SPSA,
    "bottleneck": Bottleneck,
    "ensemble": Ensemble,
    "autoattack": AutoAttack,
}


BORROWING: dict[str, type[Attack]] = {"control": Control, "ideal": Ideal}  # members of ensembles only


def get(name: str, **options: Any) -> Attack:
    """The attack called `name` with its options; a library's as `foolbox:LinfPGD`, or a user's own `package.module:Class`.

    Raises:
        AttackError: an unknown name, option or value; it lists the valid ones.
    """
    return _made(ATTACKS, name, options)


def member(name: str, **options: Any) -> Attack:
    """The same of a member of an ensemble, which may also be one of `BORROWING`.

    Raises:
        AttackError: see `get`.
    """
    return _made(ATTACKS | BORROWING, name, options)


def _made(table: dict[str, type[Attack]], name: str, options: dict[str, Any]) -> Attack:
    table = {name: libraries.entry(name)} if libraries.names(name) else table
    return make("attack", table, name, options, AttackError, taken=AttackSpec.model_fields, base=Attack)
