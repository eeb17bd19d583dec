"""The intervals of a device with shots: where its repetitions really fall."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks, circuits, devices, surrogate
from hqc_ray.attacks import contract
from hqc_ray.evaluation.measure import Seen, measure
from hqc_ray.evaluation.sampled import SPREAD, Samples
from hqc_ray.models import heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.results.row import Deployed, Measured
from hqc_ray.spec import ModelSpec

CIRCUIT, SHOTS, N = circuits.get("vqc1", 3), 30, 200
EXACT = devices.get("qiskit.aer", noise="fake_manila")


class Means(nn.Module):
    """Twelve numbers an image, and no more network than that."""

    trainable, n_features = False, 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * (nn.functional.avg_pool2d(images, 2).flatten(1) - 0.5)


@pytest.fixture
def model() -> Classifier:
    spec = ModelSpec(backbone="resnet18", weights="random", head="vqc1", n_qubits=3)
    head = heads.build(spec, 12, 2, torch.Generator().manual_seed(1)).requires_grad_(False)
    images = torch.rand(N, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    logits = head.on(EXACT)(Means()(images))
    head.readout.bias[0] -= (logits[:, 0] - logits[:, 1]).median()  # type: ignore[union-attr,operator,index]  # both classes occur
    return Classifier(Means(), head).eval()  # type: ignore[arg-type]


@pytest.fixture
def patches(model: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Images, and the labels that the exact device gives them: whatever is wrong is wrong by shots."""
    images = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3), dtype=np.uint8)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return images, model.on(EXACT)(pixels).argmax(1).numpy()


def judged(judge: Samples, attack: attacks.Attack, patches: tuple[np.ndarray, np.ndarray], epsilon: float) -> Measured:
    """What a judge that samples says of an attack on its exact twin."""
    pixels = torch.from_numpy(patches[0]).permute(0, 3, 1, 2) / 255
    result = contract.run(attack, judge.model, pixels, patches[1], [epsilon], 0, audience="samples", judges=[judge])
    return measure(result, patches[1], epsilon, 0, Seen(Deployed(test_accuracy=None), judge.repeats))


def columns(model: Classifier, core: surrogate.Surrogate, patches: tuple[np.ndarray, np.ndarray], seed: int) -> Measured:
    """The columns of a clean evaluation, on a device whose surrogate is `core`."""
    return judged(Samples(model.with_core(core), SHOTS, 1, seed), attacks.get("clean"), patches, 0.0)


def test_shots_fall_into_their_interval(model: Classifier, patches: tuple[np.ndarray, np.ndarray]) -> None:
    fitted = surrogate.fit(CIRCUIT, model.head.core.weights, EXACT)  # type: ignore[union-attr]
    found = [columns(model, fitted, patches, seed) for seed in range(60)]
    values = np.array([row.clean_accuracy for row in found])
    assert values.max() < 1
    inside = [row.clean_shot_low <= other <= row.clean_shot_high for row in found for other in values]
    assert 0.9 < np.mean(inside) < 0.99
    assert all(row.robust_shot_low == row.clean_shot_low for row in found)


def test_the_interval_of_a_measured_surrogate_holds_the_exact_devices_accuracy(
    model: Classifier, patches: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_sampled.SHOTS", shots := 1000)
    exact = surrogate.fit(CIRCUIT, model.head.core.weights, EXACT)  # type: ignore[union-attr,arg-type]
    frequencies = np.random.default_rng(3).multinomial(shots, exact.values().clamp_min(0).numpy(), (16, 27)) / shots
    measured = []
    for values in frequencies:  # of the same grid, again and again
        measured.append(surrogate.Surrogate(3))
        measured[-1].set_values(torch.from_numpy(values))
        measured[-1].shots.fill_(shots)
    found = [columns(model, core, patches, seed) for seed, core in enumerate(measured)]
    alone = columns(model, exact, patches, 0)
    truth = (alone.clean_shot_low + alone.clean_shot_high) / 2
    accuracies = np.array([row.clean_accuracy for row in found])
    assert accuracies.mean() < truth - accuracies.std(ddof=1) / 2  # noise costs accuracy: the interval has to know
    held = [row.clean_shot_low <= truth <= row.clean_shot_high for row in found]
    assert sum(held) >= 14
    halves = np.array([row.clean_shot_high - row.clean_shot_low for row in found]) / 2
    shots_alone = (alone.clean_shot_high - alone.clean_shot_low) / 2
    assert halves.mean() > shots_alone + truth - accuracies.mean()  # they scatter by the measurement as well
    assert halves.mean() < 5 * accuracies.std(ddof=1)  # and are not merely wide
    assert all(row.clean_shot_low <= row.clean_accuracy <= row.clean_shot_high for row in found)


def test_each_replicate_judges_before_and_after_the_attack(model: Classifier, patches: tuple[np.ndarray, np.ndarray]) -> None:
    core = surrogate.fit(CIRCUIT, model.head.core.weights, EXACT)  # type: ignore[union-attr,arg-type]
    core.shots.fill_(SHOTS)
    judge = Samples(model.with_core(core), 10**8, 1, 0)  # judged without noise, by measurements of 30 shots
    images, labels = patches
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    first, second = (judge.decide(judge.see(pixels), name).replicates for name in ("clean", "again"))
    assert (first == second).mean() > 0.99 > 0.97 > (first == first[::-1]).mean()
    attack = attacks.get("fgsm")
    found = contract.run(attack, judge.model, pixels, labels, [0.02], 0, audience="samples", keep=N).per_epsilon[0]
    row = judged(judge, attack, (images, labels), 0.02)
    before, after = judge.decide(judge.see(pixels), "clean"), judge.decide(judge.see(found.adversarial), repr(0.02))
    pairs = ((before.own, after.own), (before.replicates, after.replicates))
    own, others = ((b == labels) & (np.where(found.linf == 0, b, a) == labels) for b, a in pairs)
    half = 1.959964 * others.mean(1).std(ddof=1) + abs(others.mean() - own.mean())
    assert row.robust_accuracy == own[0].mean() < row.clean_accuracy
    assert row.robust_shot_low == pytest.approx(max(own.mean() - half, 0))
    assert row.robust_shot_high == pytest.approx(min(own.mean() + half, 1))


def test_more_repeats_than_the_spread_needs_are_all_made(model: Classifier) -> None:
    fitted = surrogate.fit(CIRCUIT, model.head.core.weights, EXACT)  # type: ignore[union-attr]
    images = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    judges = (Samples(model.with_core(fitted), SHOTS, n, 0) for n in (1, SPREAD + 5))
    few, many = (judge.decide(judge.see(images), "x").own for judge in judges)
    assert (len(few), len(many)) == (SPREAD, SPREAD + 5)
    assert np.array_equal(few, many[:SPREAD])


def test_each_level_is_judged_by_the_same_samples(model: Classifier, patches: tuple[np.ndarray, np.ndarray]) -> None:
    on = model.on(EXACT)
    images = torch.from_numpy(patches[0]).permute(0, 3, 1, 2) / 255
    found = []
    for level in ("pixels", "features", "angles"):
        judge = Samples(on, SHOTS, 1, 0, level)  # type: ignore[arg-type]
        found.append(judge.decide(judge.see(on.at(level).encode(images)), "clean").own)  # type: ignore[arg-type]
    assert all((one == found[0]).mean() > 0.999 for one in found)
    assert (found[0][0] != found[0][1]).any()
