"""A user's own head tried before a sweep starts: it is built twice, and run on random features."""

from __future__ import annotations

import torch
from torch import Tensor

from hqc_ray.errors import ModelError
from hqc_ray.guard import guarded, wrong
from hqc_ray.models.head import Head
from hqc_ray.models.heads import HeadEntry
from hqc_ray.quantum.circuits import Circuit

IMAGES = 3


def tried(name: str, entry: HeadEntry, n_features: int, n_classes: int) -> None:
    """See that a head is what its entry says, and can be trained and attacked.

    Args:
        name: as a sweep file says it.
        entry: of that name.
        n_features: F.
        n_classes: K.

    Raises:
        ModelError: whatever the head raises, or what is wrong with what it gives.
    """
    with guarded("head", name, ModelError, to="build", by=type(entry).build):
        problem = _problem(entry, n_features, n_classes)
    if problem:
        raise wrong("head", name, problem[0], ModelError, type(entry).build, problem[1])


def _problem(entry: HeadEntry, n_features: int, n_classes: int) -> tuple[str, str] | None:
    """What is wrong, and what would be right."""
    built, again = (entry.build(n_features, n_classes, torch.Generator().manual_seed(0)) for _ in range(2))
    if not isinstance(built, Head) or not isinstance(again, Head):
        return f"build gives {type(built).__name__}", "a hqc_ray.models.head.Head"
    if not list(built.parameters()):
        return "has no weights, so nothing would be trained", "parameters of a torch module"
    state, other = built.state_dict(), again.state_dict()
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        return "has first weights that are NaN or infinite", "finite numbers"
    if state.keys() != other.keys() or not all(torch.equal(value, other[key]) for key, value in state.items()):
        return (
            "has other first weights when it is built again with the same seed",
            "weights drawn by the generator that build is given",
        )
    if not isinstance(entry.width, int | None):
        return f"says width = {entry.width!r}", "the number of angles, or None"
    return _of_circuit(entry, built) or _of_logits(entry, built.eval(), n_features, n_classes)


def _of_circuit(entry: HeadEntry, built: Head) -> tuple[str, str] | None:
    circuit = entry.circuit()
    if not isinstance(circuit, Circuit | None) or (entry.kind == "circuit") != (circuit is not None):
        return (
            f"says kind = {entry.kind!r}, and circuit() gives {type(circuit).__name__}",
            "a Circuit for 'circuit', None for 'classical'",
        )
    if circuit is not None and (built.ideal is None or built.ideal.circuit != circuit):
        return "does not hold the circuit that circuit() gives", "a Bottleneck around CircuitLayer(self.circuit(), generator)"
    if not set(entry.levels) <= set(built.levels):
        return f"says levels = {entry.levels}, and is built with {built.levels}", "levels that the built head has"
    return None


def _of_logits(entry: HeadEntry, built: Head, n_features: int, n_classes: int) -> tuple[str, str] | None:
    features = torch.randn(IMAGES, n_features, generator=torch.Generator().manual_seed(1)).requires_grad_()
    logits, valid = built(features), f"finite logits [B, {n_classes}] of features [B, {n_features}], differentiable"
    if not isinstance(logits, Tensor):
        return f"gives {type(logits).__name__}", valid
    if logits.shape != (IMAGES, n_classes) or not logits.is_floating_point():
        return f"gives {str(logits.dtype).removeprefix('torch.')}{list(logits.shape)} for {IMAGES} images", valid
    if not bool(torch.isfinite(logits).all()):
        return "gives NaN or infinity", valid
    if not built.stochastic and not torch.equal(built(features), logits):
        return "gives other logits each time", "a head that draws nothing when it is evaluated"
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2)).to(logits)
    gradient = torch.autograd.grad((logits * direction).sum(), features, allow_unused=True)[0] if logits.requires_grad else None
    if gradient is None or not bool(gradient.abs().max() > 0):
        return "has no gradient to its features, which fakes robustness", valid
    if "angles" in entry.levels and (angles := built.angles(features)).shape != (IMAGES, entry.width):
        return f"gives angles {list(angles.shape)} for {IMAGES} images, and says width = {entry.width}", "angles [B, width]"
    return None
