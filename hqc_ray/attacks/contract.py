"""The contract between an attack and its caller: validate, search, project, judge. Once for all attacks, levels and judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hqc_ray.attacks.balls import NORMS, Norm, admitted, in_grey_levels, lengths, rounding
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.borrowed import Borrowed, Fallen, Falling
from hqc_ray.attacks.counts import Counts
from hqc_ray.attacks.judges import Exact, Judge, verdict
from hqc_ray.attacks.landmarks import Landmarks
from hqc_ray.attacks.losses import check_logits, outputs_normalised, predicted
from hqc_ray.attacks.result import Found, Result
from hqc_ray.attacks.spaces import PIXELS, Space, checked
from hqc_ray.attacks.steady import Held, frozen, restored
from hqc_ray.attacks.view import Classify, View
from hqc_ray.errors import AttackError
from hqc_ray.results.row import Audience
from hqc_ray.seeds import stream


def run(
    attack: Attack,
    model: Classify,
    values: Any,
    labels: Any,
    epsilons: Sequence[float],
    seed: int,
    *,
    space: Space = PIXELS,
    audience: Audience = "itself",
    judges: Sequence[Judge] = (),
    reference: Classify | None = None,
    landmarks: Landmarks | None = None,
    batch_size: int = 50,
    keep: int = 0,
    borrowed: Borrowed | None = None,
    lends: bool = False,
) -> Result:
    """Search once for all epsilons, and let every judge decide on all that was found.

    The values are moved to the model's device batch by batch. The model is put into evaluation mode with its weights
    frozen, and restored afterwards. Same arguments, same result (on one thread, bit for bit). A search cannot move what is
    judged: it gets copies, and torch's settings and the global random streams are restored after each of its steps.

    Args:
        attack: the search.
        model: what is attacked, values [B, ...] -> logits [B, K].
        values: [N, ...] float, in the space's box; at the level of pixels images [N, C, H, W] in [0, 1].
        labels: [N] integers, the true classes.
        epsilons: radii in the attack's norm, in the space's unit, in any order; 0 leaves the values as they are, bit for bit.
        seed: of the attack's random streams.
        space: of the values and their perturbations.
        audience: "itself": the images that the model gets right are attacked, and a search may stop at success; "samples": the
            same images, but the whole budget; "others": all images, with the whole budget.
        judges: who decides; none: the model itself.
        reference: decides which images the model gets right, where that is another one (the exact twin of a sampled model); of
            a stochastic model, candidates are compared by it too.
        landmarks: training images that the attacker knows, for attacks that aim at where others are.
        batch_size: images per batch, for all evaluations alike.
        keep: of how many of the first images the values after the attack are kept.
        borrowed: what the search may take over from other models, for these values.
        lends: whether the first judge, which is to be exact, says who fell first at which epsilon, for other searches to borrow.

    Raises:
        AttackError: empty or mismatched input, values outside the box, bad epsilons, outputs that are not [B, K]; a search that
            does not yield one candidate per epsilon, of the values' shape, or that changes the model.
    """
    values, labels, budgets = checked(values, labels, epsilons, space)
    if batch_size < 1 or keep < 0:
        raise AttackError(f"batch_size={batch_size}, keep={keep}", valid="batch_size >= 1, keep >= 0")
    crew, parts, lent = tuple(judges) or (Exact(model),), [], borrowed or Borrowed()
    with frozen(model, reference, *(getattr(judge, "model", None) for judge in crew), lent.control) as held:
        given = (attack, attack.norm, model, crew, reference or model, int(seed), budgets, space, audience)
        job = _Job(*given, landmarks, held, lent, lends)
        for index, start in enumerate(range(0, len(values), batch_size)):
            stop = min(start + batch_size, len(values))
            parts.append(job.batch(index, start, values[start:stop], labels[start:stop], min(stop, keep) - start))
        return job.joined(parts)


@dataclass(frozen=True)
class _Candidate:
    """What was found for the n attacked images of a batch, [n, ...], and what its epsilon costs on its own."""

    values: Tensor
    bad_gradient: Tensor
    not_finite: Tensor
    cost: Counts


@dataclass(frozen=True)
class _Batch:
    """A batch after its search: what `Result` says of it, and what each judge has seen, clean and per epsilon."""

    clean_predictions: Tensor
    attacked: Tensor
    counts: Counts
    outputs_normalised: bool
    found: list[Found]
    members: tuple[str, ...]
    fallen: Fallen | None
    seen: list[list[Tensor]]  # per judge: of the clean values, then per epsilon, then of pixels per epsilon as grey levels


@dataclass(frozen=True)
class _Job:
    """One call of `run`, batch by batch."""

    attack: Attack
    norm: Norm
    model: Classify
    judges: tuple[Judge, ...]
    reference: Classify
    seed: int
    epsilons: list[float]
    space: Space
    audience: Audience
    landmarks: Landmarks | None
    held: Held
    borrowed: Borrowed
    lends: bool

    def batch(self, index: int, start: int, values: Tensor, labels: Tensor, keep: int) -> _Batch:
        """Search and see batch number `index`: values [B, ...] from number `start` on, labels [B]."""
        device = _device_of(self.model, values)
        values, labels = values.to(device), labels.to(device)
        with torch.no_grad():
            logits = check_logits(self.reference(values), len(values))
        if int(labels.max()) >= logits.shape[1]:
            raise AttackError(f"label {int(labels.max())} for a model with {logits.shape[1]} classes", where="labels")
        clean = predicted(logits)
        attacked = torch.ones_like(labels, dtype=torch.bool) if self.audience == "others" else clean == labels
        exact, ids = self.reference if self.reference is not self.model else None, start + attacked.nonzero()[:, 0]
        own = self.audience == "itself"
        view = View(self.model, len(ids), self.space, own, exact, self.landmarks, self.borrowed.of(ids))
        view.seed = stream(self.seed, "attack", type(self.attack).__name__.lower())
        candidates = self._search(view, index, values[attacked], labels[attacked])
        self.held.check(repr(self.attack))
        seen = [[self._clean(judge, values, logits)] for judge in self.judges]
        found: list[Found] = []
        falling = Falling(values) if self.lends else None
        rounded: list[list[Tensor]] = [[] for _ in self.judges]  # of pixels
        for epsilon, candidate in zip(self.epsilons, candidates, strict=True):
            adversarial = values.clone()
            adversarial[attacked] = candidate.values
            grey = in_grey_levels(adversarial, values, epsilon, self.attack.norm) if self.space.name == "pixels" else None
            for judge, kept, in_8_bits in zip(self.judges, seen, rounded, strict=True):
                kept.append(judge.see(adversarial))
                if grey is not None:  # nothing is evaluated twice
                    in_8_bits.append(kept[-1] if torch.equal(grey, adversarial) else judge.see(grey))
            found.append(self._found(epsilon, candidate, values, adversarial, attacked, keep))
            if falling:
                falling.see(epsilon, adversarial, attacked & (predicted(seen[0][-1]) != labels))
        looked = [[*plain, *in_8_bits] for plain, in_8_bits in zip(seen, rounded, strict=True)]
        fallen = falling.fallen() if falling else None
        return _Batch(clean, attacked, view.counts, outputs_normalised(logits), found, self.attack.names(view), fallen, looked)

    def _clean(self, judge: Judge, values: Tensor, logits: Tensor) -> Tensor:
        """What a judge sees of the clean values; nothing is evaluated twice where the attacked model judges itself."""
        return logits if isinstance(judge, Exact) and judge.model is self.reference else judge.see(values)

    def _search(self, view: View, index: int, values: Tensor, labels: Tensor) -> list[_Candidate]:
        """One candidate per epsilon for the attacked images; at epsilon 0 these are the values, and nothing is searched."""
        nothing = torch.zeros_like(labels, dtype=torch.bool)
        untouched = _Candidate(values, nothing, nothing, Counts())
        budgets = [e for e in self.epsilons if e > 0]
        if not budgets or not len(values):
            return [untouched] * len(self.epsilons)
        names = ("attack", type(self.attack).__name__.lower(), index)
        generator = torch.Generator().manual_seed(stream(self.seed, *names))
        # copies: a search that works in place must not move what its candidates are projected onto
        order = list(range(len(budgets)))
        if self.attack.nested:
            order.sort(key=budgets.__getitem__)
        searching = self.attack.find(view, values.clone(), labels.clone(), [budgets[i] for i in order], generator)
        found: list[_Candidate] = []
        with closing(searching):  # type: ignore[type-var]  # a generator
            for epsilon in (budgets[i] for i in order):
                before = Counts() if self.attack.shared else view.counts
                yielded = self._step(searching, stream(self.seed, *names, repr(epsilon)), values.device)
                candidate, lost = admitted(yielded, values, epsilon, self.norm, self.space, repr(self.attack))
                bad = view.bad_gradient
                found.append(_Candidate(candidate, nothing if bad is None else bad, lost, view.counts - before))
            self._step(searching, stream(self.seed, *names), values.device)  # there are no more, or it raises
        rest = iter(found[order.index(i)] for i in range(len(budgets)))
        return [next(rest) if e > 0 else untouched for e in self.epsilons]

    def _step(self, searching: Iterator[Tensor | None], seed: int, device: torch.device) -> Tensor | None:
        """What the search yields next; None if there is nothing more. It runs until its next `yield`, and leaves no trace."""
        try:
            with restored(seed, device, repr(self.attack)):
                return next(searching, None)
        finally:
            self.held.hold()

    def _found(
        self, epsilon: float, candidate: _Candidate, values: Tensor, adversarial: Tensor, attacked: Tensor, keep: int
    ) -> Found:
        bad, lost = torch.zeros_like(attacked), torch.zeros_like(attacked)
        bad[attacked], lost[attacked] = candidate.bad_gradient, candidate.not_finite
        deltas = (adversarial - values).double()
        sizes = {norm: lengths(deltas, norm) for norm in NORMS}
        largest = float(sizes[self.norm].max())
        if not largest <= epsilon + rounding(values, epsilon, self.norm):
            what = f"an image is {largest:g} from where it was in {self.norm}, beyond epsilon {epsilon:g}"
            raise AttackError(what, where=repr(self.attack), valid="at most epsilon, which the projection ensures")
        return Found(
            epsilon=epsilon,
            linf=sizes["linf"].cpu().numpy(),
            l2=sizes["l2"].cpu().numpy(),
            bad_gradient=bad.cpu().numpy(),
            not_finite=lost.cpu().numpy(),
            gradients=candidate.cost.gradients,
            forwards=candidate.cost.forwards,
            adversarial=adversarial[: max(keep, 0)].cpu(),
        )

    def joined(self, parts: list[_Batch]) -> Result:
        """The batches as one result; only now do judges decide, each on all images at once."""
        found = [Found.joined(same) for same in zip(*(part.found for part in parts), strict=True)]
        return Result(
            clean_predictions=torch.cat([p.clean_predictions for p in parts]).cpu().numpy(),
            attacked=torch.cat([p.attacked for p in parts]).cpu().numpy(),
            gradients=sum(p.counts.gradients for p in parts),
            forwards=sum(p.counts.forwards for p in parts),
            outputs_normalised=all(p.outputs_normalised for p in parts),
            per_epsilon=found,
            members=parts[0].members,
            fallen=Fallen.joined(part.fallen for part in parts if part.fallen) if self.lends else None,
            verdicts=[verdict(judge, [p.seen[j] for p in parts], found) for j, judge in enumerate(self.judges)],
        )


def _device_of(model: Classify, values: Tensor) -> torch.device:
    """Where the model's last tensor lies; without any, where the values are."""
    tensors = [*model.buffers(), *model.parameters()] if isinstance(model, nn.Module) else []
    return tensors[-1].device if tensors else values.device
