"""The contract between an attack and its caller: validate, search, project, evaluate again, decide. Once for all attacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.attacks.balls import admitted, lengths
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import predicted
from hqc_ray.attacks.result import EpsilonResult, Result, joined
from hqc_ray.attacks.view import Classify, Counts, View, check_logits, frozen, outputs_normalised
from hqc_ray.errors import AttackError
from hqc_ray.seeds import stream


@dataclass(frozen=True)
class _Found:
    """A candidate [n, C, H, W] for the n attacked images of a batch, and what its epsilon costs on its own."""

    candidate: Tensor
    bad_gradient: Tensor
    cost: Counts


def run(
    attack: Attack,
    model: Classify,
    images: Any,
    labels: Any,
    epsilons: Sequence[float],
    seed: int,
    batch_size: int = 50,
    judge: Classify | None = None,
    progress: Callable[[int], None] | None = None,
    keep: int = 0,
    judge_generator: torch.Generator | None = None,
) -> Result:
    """Attack the images that are classified correctly, and judge every epsilon.

    The images are moved to the model's device batch by batch. The model is put into evaluation mode with its weights
    frozen, and restored afterwards. Same arguments, same result (on one thread, bit for bit).

    Args:
        attack: the search.
        model: what is attacked, images [B, C, H, W] in [0, 1] -> logits [B, K].
        images: [N, C, H, W] float in [0, 1].
        labels: [N] integers, the true classes.
        epsilons: radii in the attack's norm, pixel units, in any order; 0 leaves the images as they are, bit for bit.
        seed: of the attack's random streams.
        batch_size: images per batch, for clean and final evaluations alike.
        judge: images -> logits, what decides clean and final predictions; None: the model. With one, attacks use their
            whole budget instead of stopping at the first success against the model.
        progress: called with the number of images done so far.
        keep: how many of the first images are kept after the attack.
        judge_generator: a generator that `judge` samples from. It is set to its own stream before each evaluation, so
            that the samples at one epsilon do not depend on the others.

    Raises:
        AttackError: empty or mismatched input, values outside [0, 1], bad epsilons, outputs that are not [B, K].
    """
    images, labels, budgets = _checked(images, labels, epsilons)
    if batch_size < 1 or keep < 0:
        raise AttackError(f"batch_size={batch_size}, keep={keep}", valid="batch_size >= 1, keep >= 0")
    job = _Job(attack, model, judge, judge_generator, int(seed), budgets)
    parts = []
    with frozen(model, judge):
        for index, start in enumerate(range(0, len(images), batch_size)):
            stop = min(start + batch_size, len(images))
            parts.append(job.batch(index, images[start:stop], labels[start:stop], min(stop, keep) - start))
            if progress is not None:
                progress(stop)
    return joined(parts)


@dataclass(frozen=True)
class _Job:
    """One call of `run`, batch by batch."""

    attack: Attack
    model: Classify
    judge: Classify | None
    judge_generator: torch.Generator | None
    seed: int
    epsilons: list[float]

    def batch(self, index: int, images: Tensor, labels: Tensor, keep: int) -> Result:
        """The result of batch number `index`: images [B, C, H, W], labels [B]."""
        device = _device_of(self.model, images)
        images, labels = images.to(device), labels.to(device)
        logits = self._judged(images, index, "clean")
        if int(labels.max()) >= logits.shape[1]:
            raise AttackError(f"label {int(labels.max())} for a model with {logits.shape[1]} classes", where="labels")
        clean = predicted(logits)
        view = View(self.model, int((clean == labels).sum()), decides=self.judge is None)
        found = self._search(view, index, images, labels, clean == labels)
        results = [self._decided(e, f, index, images, labels, clean, keep) for e, f in zip(self.epsilons, found, strict=True)]
        return Result(
            clean_predictions=clean.cpu().numpy(),
            clean_correct=(clean == labels).cpu().numpy(),
            bad_gradient=np.any([r.bad_gradient for r in results], axis=0),
            gradients=view.counts.gradients,
            forwards=view.counts.forwards + len(images) * (1 + len(results)),
            outputs_normalised=outputs_normalised(logits),
            per_epsilon=results,
        )

    def _search(self, view: View, index: int, images: Tensor, labels: Tensor, attacked: Tensor) -> list[_Found]:
        """One candidate per epsilon for the attacked images; at epsilon 0 these are the images, and nothing is searched."""
        images, labels = images[attacked], labels[attacked]
        untouched = _Found(images, torch.zeros_like(labels, dtype=torch.bool), Counts())
        budgets = [e for e in self.epsilons if e > 0]
        if not budgets or not len(images):
            return [untouched] * len(self.epsilons)
        generator = torch.Generator().manual_seed(stream(self.seed, "attack", type(self.attack).__name__.lower(), index))
        candidates = self.attack.find(view, images, labels, budgets, generator)
        found = []
        for epsilon in budgets:
            before = Counts() if self.attack.shared else replace(view.counts)
            candidate = admitted(next(candidates, None), images, epsilon, self.attack.norm, view.space, repr(self.attack))
            bad = untouched.bad_gradient if view.bad_gradient is None else view.bad_gradient
            found.append(_Found(candidate, bad, view.counts - before))
        rest = iter(found)
        return [next(rest) if e > 0 else untouched for e in self.epsilons]

    def _decided(
        self, epsilon: float, found: _Found, index: int, images: Tensor, labels: Tensor, clean: Tensor, keep: int
    ) -> EpsilonResult:
        """Judge the whole batch again, in the same composition as the clean one."""
        attacked = clean == labels
        adversarial = images.clone()
        adversarial[attacked] = found.candidate
        after = torch.where(attacked, predicted(self._judged(adversarial, index, epsilon)), clean)
        bad = torch.zeros_like(attacked)
        bad[attacked] = found.bad_gradient
        deltas = (adversarial - images).double()
        return EpsilonResult(
            epsilon=epsilon,
            predictions=after.cpu().numpy(),
            correct=(after == labels).cpu().numpy(),
            linf=lengths(deltas, "linf").cpu().numpy(),
            l2=lengths(deltas, "l2").cpu().numpy(),
            bad_gradient=bad.cpu().numpy(),
            gradients=found.cost.gradients,
            forwards=found.cost.forwards + 2 * len(images),
            adversarial=adversarial[: max(keep, 0)].cpu(),
        )

    def _judged(self, images: Tensor, index: int, epsilon: float | str) -> Tensor:
        if self.judge_generator is not None:
            self.judge_generator.manual_seed(stream(self.seed, "judge", index, str(epsilon)))
        with torch.no_grad():
            return check_logits((self.judge or self.model)(images), len(images))


def _device_of(model: Classify, images: Tensor) -> torch.device:
    """Where the logits are: where the last weights lie, though a backbone in front of them may run elsewhere."""
    tensors = [*model.buffers(), *model.parameters()] if isinstance(model, nn.Module) else []
    return tensors[-1].device if tensors else images.device


def _checked(images: Any, labels: Any, epsilons: Sequence[float]) -> tuple[Tensor, Tensor, list[float]]:
    images, labels = torch.as_tensor(images).detach(), torch.as_tensor(labels)
    if images.dim() < 2 or not len(images) or not images.is_floating_point():
        raise AttackError(f"{list(images.shape)} {images.dtype}", where="images", valid="float [N, C, H, W], N >= 1")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise AttackError(f"values from {low:g} to {high:g}", where="images", valid="[0, 1]")
    if labels.shape != images.shape[:1] or labels.is_floating_point() or int(labels.min()) < 0:
        raise AttackError(f"{list(labels.shape)} {labels.dtype}", where="labels", valid=f"[{len(images)}] integers >= 0")
    budgets = [float(e) for e in epsilons]
    if not budgets or not all(math.isfinite(e) and e >= 0 for e in budgets):
        raise AttackError(f"{budgets}", where="epsilons", valid="one or more finite numbers >= 0")
    return images.contiguous(), labels.long(), budgets
