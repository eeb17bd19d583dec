"""What a sweep's rows say, in a few sentences: how much there is, whether it is the circuit, how robust, and what to doubt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hqc_ray.columns import counted
from hqc_ray.evaluation.flags import SHORT
from hqc_ray.report.content.attacks import Row, Shown, is_clean, is_transfer
from hqc_ray.report.content.controls import Compared
from hqc_ray.report.content.facts import Facts
from hqc_ray.report.content.lines import Ball, Line, Value, ball_of
from hqc_ray.report.content.models import Model
from hqc_ray.report.content.verdict import verdict
from hqc_ray.report.style import listed

NAMED = 6  # heads, attacks or backbones that are named; of more, their number is
STRENGTHS = 4  # epsilons of a level and norm whose worst cases are told
LEVELS_TOLD = 2  # of levels and norms
FLAGS_TOLD = 4


@dataclass(frozen=True)
class Rows:
    """Rows with the column `flags`, and how to read them.

    Args:
        records: one per cell.
        model: the model that judged a row.
        show: the attack of a row.
    """

    records: Sequence[Row]
    model: Callable[[Row], Model]
    show: Callable[[Row], Shown]


def answer(
    rows: Rows, lines: Sequence[Line], controls: Sequence[Compared], facts: Facts, raised: Mapping[str, int], notes: Iterable[str]
) -> tuple[str, ...]:
    """The sentences, each a paragraph of its own; the most important first.

    Args:
        rows: of the report, and so is the rest.
        lines: of the table.
        controls: circuits against their controls.
        facts: how many cells there are.
        raised: flag -> number of rows that carry it.
        notes: names of `hqc_ray.evaluation.flags.NOTES` that hold.
    """
    texts = [_unfinished(facts), _extent(lines, facts)]
    if facts.cells > facts.failed:
        texts += [
            "The backbone's weights are random: this tests the tool, and says nothing of a real model."
            if "random_weights" in notes else "",
            _circuit(lines, controls, bool(facts.missing)), _aims(rows, lines, bool(facts.missing)), *_worst(lines),
            _flagged(rows, facts, raised),
        ]  # fmt: skip
    return tuple(text for text in texts if text)


def _unfinished(facts: Facts) -> str:
    told = facts.unfinished
    return f"Unfinished: {told}. All that follows is of the cells that are there, and preliminary." if told else ""


def _extent(lines: Sequence[Line], facts: Facts) -> str:
    """'462 cells of 16 trained models: CNN and ResNet18 with linear, tanh and vqc1, under FGSM and PGD; one seed, ...'."""
    if facts.cells == facts.failed:
        every = f"All {counted(facts.cells, 'cell')}" if facts.cells > 1 else "The only cell"
        return f"{every} failed: nothing was measured." if facts.cells else "No rows yet."
    cells = counted(facts.cells, "cell")
    cells += f", of which {facts.failed:,} failed," if facts.failed else ""
    models = counted(facts.models, "trained model")
    backbones = _named((line.model.backbone_name for line in lines), "backbones")
    heads = _named((line.model.full_head for line in lines), "heads")
    searched = [attack for line in lines for attack in line.attacks if not attack.control]
    under = f", under {_named((attack.title for attack in searched), 'attacks')}" if searched else ""
    return f"{cells} of {models}: {backbones} with {heads}{under}; {_seeds(lines)}."


def _seeds(lines: Sequence[Line]) -> str:
    seeds = [line.clean.seeds for line in lines if line.clean.seeds]
    least, most = min(seeds, default=0), max(seeds, default=0)
    if most <= 1:
        return "one seed, which another training may not repeat"
    return f"{least} seeds" if least == most else f"{least} to {most} seeds a model"


def _circuit(lines: Sequence[Line], controls: Sequence[Compared], unfinished: bool = False) -> str:
    """Whether it is the circuit that makes the difference, or why nobody can say."""
    searched = [line for line in lines if any(not attack.control for attack in line.attacks)]
    circuits = [line for line in lines if line.model.hybrid]
    if not circuits:
        return "" if unfinished else "No head here is a circuit."
    if not searched:
        return "No attack was made: these are accuracies without one, and say nothing of robustness."
    if controls:
        return verdict(controls)
    places = {line.model.place for line in circuits}
    if not any(not line.model.hybrid and line.model.place in places for line in searched):
        return "Is it the circuit? Nobody can say: no other head was attacked on the same images (add `controls: true`)."
    sampled = ", as circuits that are judged by shots never have" if all(line.model.shots for line in circuits) else ""
    return (
        f"Is it the circuit? Nobody can say: no circuit has a control (the same bottleneck without one, under the same attacks, "
        f"image by image){sampled}; the ranges below are not paired, and width, training or chance may make their difference."
    )


def _aims(rows: Rows, lines: Sequence[Line], unfinished: bool) -> str:
    """The caveat where gradients alone attacked circuits."""
    aimed = {
        (rows.model(row), ball_of(row)) for row in rows.records if row["status"] == "ok" and row["aims"] and not is_transfer(row)
    }
    balls: dict[Ball, list[bool]] = defaultdict(list)
    for line in lines:
        if line.model.hybrid and line.ball and line.ball.level != "angles" and any(not attack.control for attack in line.attacks):
            balls[line.ball].append((replace(line.model, variant=""), line.ball) in aimed)
    without = [ball for ball, known in balls.items() if not all(known)]
    if not without:
        return ""
    where = "" if len(without) == len(balls) else f" at {_places(without)}"
    some = "a circuit was" if any(any(balls[ball]) for ball in without) else "circuits were"
    so_far = " so far" if unfinished else ""
    return (
        f"Upper bounds:{where} {some} attacked without `bottleneck` or `autoattack`{so_far}. Gradients of a loss may stall in a "
        "circuit's corners, so that its robust accuracies may be far too high."
    )


def _worst(lines: Sequence[Line]) -> Iterator[str]:
    """The worst cases at a few epsilons, a text for a level and norm: of circuits against other heads of the same place."""
    circuits = [line for line in lines if line.model.hybrid]
    places = {line.model.place for line in circuits}
    others = [line for line in lines if not line.model.hybrid and (line.model.place in places or not circuits)]
    who = "circuits against other heads on the same images" if circuits and others else "circuits" if circuits else "all heads"
    kinds: dict[tuple[str, str], set[Ball]] = defaultdict(set)
    for line in (*circuits, *others):
        if line.ball and any(not attack.control for attack in line.attacks):
            kinds[line.ball.level, line.ball.norm].add(line.ball)
    for balls in sorted(kinds.values(), key=lambda its: min(ball.order for ball in its))[:LEVELS_TOLD]:
        clean = _against([line.clean for line in circuits], [line.clean for line in others])
        worst = [
            (ball, [[line.worst for line in side if line.ball == ball] for side in (circuits, others)]) for ball in _some(balls)
        ]
        told = listed([f"{text} at {ball.text}" for ball, sides in worst if (text := _against(*sides))])
        if told:
            unequal = _unequal(circuits, others, balls)
            yield f"Images right, {who}: {clean} without attack; in the worst case over all attacks {told}.{unequal}"


def _against(circuits: Sequence[Value | None], others: Sequence[Value | None]) -> str:
    """'6.0 to 19.0 % against 0.0 to 0.5 %'; empty unless every side that there is has a number."""
    return " against ".join(text for side in (circuits, others) if (text := _range([value for value in side if value])))


def _range(values: Sequence[Value]) -> str:
    means = [value.mean for value in values if value.seeds]
    if not means:
        return ""
    low, high = f"{min(means):.1f}", f"{max(means):.1f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _unequal(circuits: Sequence[Line], others: Sequence[Line], balls: Collection[Ball]) -> str:
    """A warning where the two sides did not meet the same attacks, by their names."""
    if not (circuits and others):
        return ""
    met = [{a.title for line in side if line.ball in balls for a in line.attacks if not a.control} for side in (circuits, others)]
    alone = [(met[0] - met[1], "circuits"), (met[1] - met[0], "the others")]
    told = listed([f"{_named(sorted(attacks), 'attacks')} attacked {who} alone" for attacks, who in alone if attacks])
    return f" These are not under the same attacks: {told}." if told else ""


def _flagged(rows: Rows, facts: Facts, raised: Mapping[str, int]) -> str:
    """'46 of 462 cells are flagged (40 FGSM, 6 PGD), which is no evidence of robustness: rises_with_epsilon 46 (...); ...'."""
    if not raised:
        return "The audit flags no cell."
    who = Counter("clean" if is_clean(row) else rows.show(row).title for row in rows.records if row["flags"])
    attacks = ", ".join(f"{count:,} {title}" for title, count in who.most_common(3)) + (", ..." if len(who) > 3 else "")
    most = sorted(raised, key=lambda flag: -raised[flag])
    told = [f"{flag} {raised[flag]:,} ({SHORT.get(flag, 'raised by the cell itself')})" for flag in most[:FLAGS_TOLD]]
    told += [f"{len(most) - FLAGS_TOLD} more kinds"] if len(most) > FLAGS_TOLD else []
    return (
        f"{facts.flagged:,} of {counted(facts.cells, 'cell')} {'is' if facts.flagged == 1 else 'are'} flagged ({attacks}); "
        "what is flagged is no evidence of robustness: "
        f"{'; '.join(told)}."
    )


def _some(balls: Iterable[Ball]) -> list[Ball]:
    """At most `STRENGTHS` of them, the smallest and the largest among them, in order."""
    its = sorted(balls, key=lambda ball: ball.order)
    return [its[round(i * (len(its) - 1) / (STRENGTHS - 1))] for i in range(STRENGTHS)] if len(its) > STRENGTHS else its


def _places(balls: Sequence[Ball]) -> str:
    texts = [ball.text for ball in sorted(balls, key=lambda b: b.order)]
    return listed(texts) if len(texts) <= NAMED else f"{len(texts)} epsilons, {texts[0]} to {texts[-1]}"


def _named(names: Iterable[str], what: str) -> str:
    """The distinct names, or how many there are."""
    known = list(dict.fromkeys(names))
    return listed(known) if len(known) <= NAMED else f"{len(known)} {what}"
