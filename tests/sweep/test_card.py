"""What a search's rows say of the model that judges, whatever the attack: found once for all its searches."""

import pytest
import torch
from torch import nn

from hqc_ray.evaluation import audit
from hqc_ray.models import backbones
from hqc_ray.models.backbones import probe
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.ideal.simulate import Program
from hqc_ray.results.ledger import frame
from hqc_ray.results.row import Row
from hqc_ray.sweep.work import searching as room
from tests.sweep.cases import NOISY, Shelf, build, changed, worker


def rows_of(text, monkeypatch):
    """The measured columns of all cells, done by one worker, with the planned ones; and how often a card was made."""
    made, card = [], room.card
    monkeypatch.setattr(room, "card", lambda *args: made.append(args) or card(*args))
    graph, store = build(text), Shelf()
    doer, _ = worker(graph, store)
    rows = []
    for job in graph.jobs:
        outcome = doer.run(job)
        assert not outcome.error, outcome.error
        store.artifacts[job.id] = outcome.artifact
        rows += zip(job.rows, outcome.measured, strict=True)
    return rows, len(made)


def test_every_search_of_a_model_has_the_same_numbers_found_once(monkeypatch):
    heads, attacks = "head: [linear, tanh, fourier, vqc1]", "[{name: noise, epsilon: 0.1}, {name: fgsm, epsilon: [0.01, 0.1]}]"
    text = changed(("head: tanh, n_qubits: 2", heads), ("{name: fgsm, epsilon: [0.01, 0.1]}", attacks), more=f"  device: {NOISY}")
    rows, made = rows_of(text, monkeypatch)
    assert made == 4
    found = {}
    for planned, measured in rows:
        found.setdefault(planned.head, set()).add((measured.trapped_share, measured.head_parameters))
    assert all(len(numbers) == 1 for numbers in found.values())
    shares = {head: share for head, ((share, _),) in found.items()}
    assert shares["linear"] == shares["tanh"] == 0.0
    assert 0 <= shares["vqc1"] <= 1
    sizes = {head: size for head, ((_, size),) in found.items()}
    # 12 features: 12 x 4 + 4 into the bottleneck, 4 x 2 + 2 out of it; a Fourier core has 81 x 4 coefficients, vqc1 28 weights
    assert sizes["linear"] == 26
    assert sizes["tanh"] == 62
    assert sizes["fourier"] == 62 + 324
    assert sizes["vqc1"] == 62 + 28


@pytest.mark.parametrize("level", ["pixels", "features"])
def test_the_share_is_of_the_level_s_images(monkeypatch, level):
    text = changed(("head: tanh, n_qubits: 2", "head: fourier, n_qubits: 3"), ("name: fgsm", f"name: fgsm, level: {level}"))
    rows, _ = rows_of(text, monkeypatch)
    assert all(m.trapped_share is not None for _, m in rows)


def test_angles_and_native_circuits_are_not_descended(monkeypatch):
    at_angles = changed(("name: fgsm", "name: fgsm, level: angles"))
    natively = changed(("head: tanh, n_qubits: 2", "head: vqc1"), ("images: 6", "images: 2, mode: native"))
    for text in (at_angles, natively):
        rows, _ = rows_of(text, monkeypatch)
        assert {m.trapped_share for _, m in rows} == {None}
        assert all(m.head_parameters > 0 for _, m in rows)


def test_rows_say_which_attacks_aim(monkeypatch):
    members = "{fgsm: {}, bottleneck: {steps: 1}}"
    attacks = f"[{{name: [bottleneck, pgd], steps: 1, epsilon: 0.1}}, {{name: ensemble, epsilon: 0.1, members: {members}}}]"
    rows, _ = rows_of(changed(("{name: fgsm, epsilon: [0.01, 0.1]}", attacks)), monkeypatch)
    assert {planned.attack: planned.aims for planned, _ in rows} == {"bottleneck": True, "pgd": False, "ensemble": True}


class Wide(Device):
    """Noise that acts on circuits of more than two wires alone, of which the comparison with the ideal device sees one."""

    name = "wide"

    def run(self, circuit, weights, angles):
        exact = Program(circuit)(torch.from_numpy(weights), torch.from_numpy(angles)).numpy()
        return 0.9 * exact + 0.1 / 2**circuit.n_qubits if circuit.n_qubits > 2 else exact


@pytest.mark.parametrize(("n_qubits", "acts"), [(3, True), (2, False)])
def test_noise_that_acts_is_told_from_noise_that_does_not(monkeypatch, n_qubits, acts):
    devices = "  device: [{name: default.qubit}, {name: 'tests.sweep.test_card:Wide'}]"
    rows, _ = rows_of(changed(("head: tanh, n_qubits: 2", f"head: vqc1, n_qubits: {n_qubits}"), more=devices), monkeypatch)
    told = audit.flags(frame(Row.ok(planned, measured) for planned, measured in rows))
    found = {p.device: (m.noise_effect, "noise_inactive" in told[p.key]) for p, m in rows}
    assert found["wide"][1] == (not acts)
    assert found["wide"][0] > 0.001 if acts else found["wide"][0] < 1e-6
    assert not found["default.qubit"][1]


def steady():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())


class Neighbours(nn.Module):
    """Statistics of the batch, as BatchNorm has them in training mode."""

    def forward(self, images):
        return images.mean((2, 3)) - images.mean((0, 2, 3))


class Restless(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) + torch.randn(len(images), 3)


@pytest.mark.parametrize(
    ("backbone", "flag"), [("steady", ""), ("Neighbours", "depends_on_batch"), ("Restless", "random_outputs")]
)
def test_planted_faults_are_flagged_in_every_row(monkeypatch, backbone, flag):
    """The plan refuses the worst of them on two random images; what it does not see, the rows say."""
    monkeypatch.setattr(probe, "probe", backbones.build)
    there = changed(("tests.sweep.cases:tiny", f"tests.sweep.test_card:{backbone}"), ("images: 6", "images: 8"))
    rows, _ = rows_of(there, monkeypatch)
    told = audit.flags(frame(Row.ok(planned, measured) for planned, measured in rows))
    for name in ("depends_on_batch", "random_outputs"):
        assert {name in flags for flags in told.values()} == {name == flag}
