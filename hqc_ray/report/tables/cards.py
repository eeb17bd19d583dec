"""Cards of models on their devices, as a table."""

from __future__ import annotations

import math

from hqc_ray.columns import counted
from hqc_ray.evaluation.comparisons import TRAPPED_SHARE
from hqc_ray.report.content.cards import Card
from hqc_ray.report.content.view import Report
from hqc_ray.report.style import strength_text
from hqc_ray.report.tables.cell import NOTHING, Cell

CARDS = (
    "What was measured of each model on each device, whatever attacked it; of several seeds the worst. Trapped: right images "
    "from which descent on the head alone ends where it is right. Gradient error: of input gradients against differences of the "
    "outputs, 0 right, 1 unrelated. Dead inputs: of the head, on which no logit depends. Random, neighbours: images whose "
    "logits differ when they are asked again, or without half of their batch. Noise: the largest change of a logit by it, over "
    "the largest logit. Linear distance: the L∞ perturbation that would take half of the right images if slopes stayed as they "
    "are. Flagged rows are those of all seeds."
)
HEADER = (
    "Model", "Images", "Head", "Device", "Level", "Seeds", "Test accuracy", "Trapped", "Gradient error", "Dead inputs", "Random",
    "Neighbours", "Noise", "Linear distance", "The audit says",
)  # fmt: skip
NOTHING_FOUND = "nothing against it"


def cards_lines(report: Report) -> list[list[Cell]]:
    """The lines under `HEADER`."""
    return [_line(card) for card in report.cards]


def _line(card: Card) -> list[Cell]:
    model, facts = card.model, card.facts
    texts = [model.name, model.images, model.full_head, model.device, card.level, str(card.seeds)]
    for name in ("test_accuracy", "trapped_share"):
        texts.append(_text(facts[name], f"{100 * facts[name]:.1f} %"))
    texts.append(_text(facts["gradient_error"], f"{facts['gradient_error']:.2g}"))
    for name in ("dead_input_share", "random_share", "batch_dependent_share"):
        texts.append(_text(facts[name], f"{100 * facts[name]:.0f} %"))
    texts.append(_text(facts["noise_effect"], f"{facts['noise_effect']:.2g}"))
    distance = facts["linear_distance_linf"]
    texts.append(NOTHING if math.isnan(distance) else _distance(distance, card.level))
    return [*(Cell("device" if i == 3 else "text", (text,)) for i, text in enumerate(texts)), _said(card)]


def _said(card: Card) -> Cell:
    """'16.8 % of right images are trapped; 5 of 10 attack rows are flagged: dominated'."""
    trapped, said = card.facts["trapped_share"], []
    attacks, others = ("attack row", "attack rows"), ("row without an attack", "rows without an attack")
    for found, nouns in ((card.attacks, attacks), (card.others, others)):
        if found.rows:
            verb = "is" if found.rows == 1 else "are"
            said.append(f"{found.rows:,} of {counted(found.of, *nouns)} {verb} flagged: {', '.join(found.flags)}")
    if trapped > TRAPPED_SHARE or (said and not math.isnan(trapped)):
        said.insert(0, f"{100 * trapped:.1f} % of right images are trapped")
    return Cell("flags" if said else "text", ("; ".join(said) or NOTHING_FOUND,))


def _distance(distance: float, level: str) -> str:
    return f"{255 * distance:.2g}/255" if level == "pixels" else strength_text(distance, level)


def _text(value: float, text: str) -> str:
    return NOTHING if math.isnan(value) else text
