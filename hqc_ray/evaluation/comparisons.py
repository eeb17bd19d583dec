"""Flags that a row earns beside others: what one model made of the same images under other attacks and at other strengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hqc_ray.evaluation.statistics import Outcomes, discordant, one_sided, sign_test
from hqc_ray.results.row import AttackIdentity

RISE_LEVEL = 0.01  # one-sided, of each paired test: a row is compared with several others
NOISE_LEVEL = 0.05  # an attack has to show that it beats noise
CONTROL = "none"  # the kind of attacks that do not search: clean and noise
MINIMAL = "minimal"  # the kind of attacks that look for the nearest fooled point
TRAPPED_SHARE = 0.02  # of images whose descent ends where the head is right; a monotone head has hardly any
TRAPPED_IMAGES = 2  # of those that are right, at least: a single one says little of a model
MISSED = 3  # images that an attack leaves right and others do not, from which it is dominated
FALL_LEVEL = 0.05  # an attack has to show that twice the epsilon fools more
FLOOR = 0.02  # below it nothing is left that could fall
REACHES = 2  # times the linear distance of half of the images, from which an attack has to fool some
OPEN = 10  # images that could fall: of fewer no test shows that some did


@dataclass(frozen=True)
class Cell:
    """One evaluated row, its outcomes [n] unpacked."""

    key: str
    attack: AttackIdentity
    through: str  # the device that the attacker looked through
    transfer: bool
    epsilon: float
    steps: float  # along the gradient; NaN: unknown, or none
    aims: bool  # at a point at which the model is wrong, instead of along its loss
    sampled: bool  # whether shots decided
    trapped_share: float  # of the judging model's images; NaN: unknown
    narrow: bool  # whether the judging model has a bottleneck to aim at
    black_box: bool  # it never asked for a gradient
    linear_distance: float  # at which half of the right images would fall if the judging model were linear; NaN: unknown
    robust_low: float
    clean: Outcomes | None
    robust: Outcomes | None
    certified: Outcomes | None

    @property
    def search(self) -> tuple[object, ...]:
        """What was attacked, and through what: two attacks are compared only if both had the same access."""
        return self.attack.search_model_key, self.through, self.attack.access, self.attack.audience

    @property
    def ball(self) -> tuple[object, ...]:
        """Where the perturbation had to stay."""
        return self.attack.level, self.attack.norm, self.epsilon

    @property
    def searches(self) -> bool:
        """Whether it is an attack at all, not a control."""
        return self.attack.kind != CONTROL

    @property
    def foreign(self) -> bool:
        """Whether it needs no gradient of the judging model."""
        return self.transfer or self.black_box or not self.searches

    @property
    def iterates(self) -> bool:
        """Whether it follows gradients of the very model that judges over many steps: what it leaves right should be robust."""
        own = not self.foreign and not self.aims and self.attack.access != "ideal"
        return own and (self.steps > 1 or self.attack.kind == MINIMAL)

    @property
    def climbs(self) -> bool:
        """Whether it takes its steps along the loss, inside the ball."""
        return self.iterates and self.steps > 1


def _rises(cell: Cell, cells: Sequence[Cell]) -> bool:
    same = [c for c in cells if c.attack == cell.attack and c.through == cell.through]
    return any(c.epsilon < cell.epsilon and _higher(cell, c) for c in same)


def _weaker_than_one_step(cell: Cell, cells: Sequence[Cell]) -> bool:
    if not cell.steps > 1:
        return False
    single = [c for c in cells if c.steps == 1 and c.search == cell.search and c.ball == cell.ball]
    return any(_higher(cell, c) for c in single)


def _as_noise(cell: Cell, cells: Sequence[Cell]) -> bool:
    if not cell.searches or cell.robust is None:
        return False
    for noise in _noise(cell, cells):
        if noise.robust is None or noise.clean is None:
            continue
        fooled = bool(np.any(noise.clean & ~noise.robust))
        if fooled and sign_test(noise.robust, cell.robust) >= NOISE_LEVEL:
            return True
    return False


def _noise(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """Noise in the same ball: of the same search if there is any, else all of it, since noise depends on no model."""
    noise = [c for c in cells if not c.searches and c.ball == cell.ball]
    return [c for c in noise if c.search == cell.search] or noise


def _as_nothing(cell: Cell, cells: Sequence[Cell]) -> bool:
    """Whether an attack fools hardly anybody though epsilon is a multiple of what would take half of the images.

    Neither a weak attack at a small epsilon nor a robust model meets that. What a certificate covers needs no attack.
    """
    if not cell.searches or cell.transfer or cell.clean is None or cell.robust is None:
        return False
    open_ = cell.clean if cell.certified is None else cell.clean & ~cell.certified
    reached = cell.epsilon >= REACHES * cell.linear_distance and np.count_nonzero(open_) >= OPEN
    return bool(reached) and sign_test(cell.clean, cell.robust) >= NOISE_LEVEL


def _transfer_stronger(cell: Cell, cells: Sequence[Cell]) -> bool:
    """Whether what needs no gradient of this model beats all that has one: another model's attack, a black-box one, noise."""
    here = [c for c in cells if c.ball == cell.ball]
    own = [c for c in here if c.searches and not c.foreign]
    others = [c for c in here if c.foreign and (c is cell or not cell.foreign)]
    return cell.searches and bool(own) and any(all(_higher(mine, c) for mine in own) for c in others)


def _trapped(cell: Cell, cells: Sequence[Cell]) -> bool:
    if not (cell.trapped_share > TRAPPED_SHARE and cell.searches) or cell.transfer:
        return False
    if cell.clean is not None and cell.trapped_share * np.count_nonzero(cell.clean) < TRAPPED_IMAGES - 0.5:
        return False
    return not (cell.narrow and any(c.aims and not c.transfer and c.ball == cell.ball for c in cells))


def _dominated(cell: Cell, cells: Sequence[Cell]) -> bool:
    if not cell.iterates or cell.sampled or cell.robust is None:  # of shots, every further look fools some image
        return False
    fallen = [c.clean & ~c.robust for c in _within(cell, cells) if c.clean is not None and c.robust is not None]
    return bool(fallen) and int(np.count_nonzero(cell.robust & np.logical_or.reduce(fallen))) >= MISSED


def _outdone(cell: Cell, cells: Sequence[Cell]) -> bool:
    return cell.climbs and any(c.aims and c.search == cell.search and c.ball == cell.ball and _higher(cell, c) for c in cells)


def _within(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """All in the same ball or a smaller one."""
    return [c for c in cells if c.ball[:2] == cell.ball[:2] and c.epsilon <= cell.epsilon]


def _plateau(cell: Cell, cells: Sequence[Cell]) -> bool:
    if not cell.climbs or not cell.robust_low > FLOOR:
        return False
    same = [c for c in cells if c.attack == cell.attack and c.through == cell.through]
    return any(_stays(c, cell) for c in same if doubled(c.epsilon, cell.epsilon))


def _stays(small: Cell, large: Cell) -> bool:
    if small.clean is None or small.robust is None or large.robust is None:
        return False
    return stopped(int(np.sum(small.clean & ~small.robust)), *discordant(small.robust, large.robust))


def doubled(small: float, large: float) -> bool:
    """Whether the larger epsilon is at least twice the smaller one."""
    return 2 * small <= large * (1 + 1e-9)


def stopped(before: int, since: int, back: int) -> bool:
    """Whether the larger epsilon is not shown to fool more, and fools significantly fewer than the smaller one had before it.

    The second keeps an epsilon so small that hardly anything has fallen yet from counting.

    Args:
        before: images that the smaller epsilon fooled.
        since: images that only the larger one fooled.
        back: images that only the smaller one fooled.
    """
    return one_sided(since, back) >= FALL_LEVEL and one_sided(before, since) < RISE_LEVEL


COMPARISONS: dict[str, Callable[[Cell, Sequence[Cell]], bool]] = {
    "rises_with_epsilon": _rises,
    "pgd_weaker_than_fgsm": _weaker_than_one_step,
    "noise_as_strong": _as_noise,
    "no_better_than_nothing": _as_nothing,
    "transfer_stronger": _transfer_stronger,
    "trapped": _trapped,
    "dominated": _dominated,
    "plateau": _plateau,
    "targets_beat_loss": _outdone,
}


def revocable(flag: str, cell: Cell, cells: Sequence[Cell]) -> bool:
    """Whether a cell of the same judge that is still to come may take this flag back, because it rests on what is not there.

    An attack that aims past a trap, where one can; a stronger one along the model's own gradients; noise of the same search.
    """
    if flag == "noise_as_strong":
        return not any(c.search == cell.search for c in _noise(cell, cells))
    return flag == "transfer_stronger" or (flag == "trapped" and cell.narrow)


def _higher(first: Cell, second: Cell) -> bool:
    """Whether the first leaves significantly more of the same images right."""
    if first.robust is None or second.robust is None:
        return False
    return sign_test(first.robust, second.robust) < RISE_LEVEL
