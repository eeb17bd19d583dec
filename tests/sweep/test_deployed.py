"""Models where they run: what a surrogate's file holds, what an attacker differentiates, who judges."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hqc_ray import devices
from hqc_ray.attacks.judges import Exact
from hqc_ray.errors import ModelError
from hqc_ray.evaluation.sampled import Samples
from hqc_ray.models import backbones, classifier, heads
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.spec import DeviceSpec, ModelSpec
from hqc_ray.sweep.graph.jobs import Deployment, JudgeTask, Weights
from hqc_ray.sweep.work import deployed
from tests.sweep.cases import SAMPLED, changed, planned

MODEL = ModelSpec(backbone="tests.sweep.cases:tiny", weights="random", image_size=8, head="vqc1", n_qubits=2)
DEVICE = devices.get("qiskit.aer", noise="fake_manila")
SHOTS = DeviceSpec(name="qiskit.aer", noise="fake_manila", shots=20)
IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def made(spec=MODEL):
    backbone = backbones.build(spec)
    head = heads.build(spec, backbone.n_features, 2, torch.Generator().manual_seed(0))
    return classifier.Classifier(backbone, head).eval().requires_grad_(False)


def search(access="shots", device=SAMPLED, seed=0):
    text = changed(("tanh", "vqc1"), ("images: 6", f"images: 6, access: {access}"), more=f"  device: {device}\n  seed: {seed}")
    return planned(text).groups[0].search


def judge_task(device, repeats=1, seed=0):
    training = replace(planned(changed(("tanh", "vqc1"))).trainings[0], seed=seed)
    return JudgeTask(Deployment(training, Weights("", ""), "model", device=device), repeats)


def test_a_surrogate_and_what_is_known_of_it_survive_their_file():
    ideal = made()
    on, known = deployed.fitted(ideal, DEVICE)
    known = known.model_copy(update={"test_accuracy": 0.75})
    again, facts = deployed.loads(ideal, deployed.dumps(on, known))
    assert facts == known
    assert torch.equal(again(IMAGES), on(IMAGES))
    assert not torch.equal(again(IMAGES), ideal(IMAGES))
    assert again.backbone is ideal.backbone
    assert deployed.dumps(again, facts) == deployed.dumps(on, known)


def test_facts_of_a_fit_are_those_of_the_compiled_circuit_and_of_the_surrogate():
    on, known = deployed.fitted(made(), DEVICE)
    compiled = DEVICE.facts(made().head.ideal.circuit)
    assert (known.depth, known.two_qubit_gates) == (compiled.depth, compiled.two_qubit_gates)
    assert tuple(json.loads(known.layout)) == compiled.layout
    assert known.surrogate_error == on.max_error < 1e-8
    assert known.circuits == on.head.surrogate.evaluations > 9
    assert known.surrogate_standard_error is None  # exact
    assert known.test_accuracy is None
    assert deployed.fitted(made(), devices.get("default.qubit"))[1].layout is None


def test_native_is_the_device_itself_and_is_what_the_surrogate_is():
    on, known = deployed.native(made(), DEVICE)
    assert isinstance(on.head.core, Native)
    assert (known.surrogate_error, known.circuits, known.test_accuracy) == (None, None, None)
    assert known.depth == deployed.fitted(made(), DEVICE)[1].depth
    torch.testing.assert_close(on(IMAGES), deployed.fitted(made(), DEVICE)[0](IMAGES), atol=1e-5, rtol=0)


def test_a_head_without_a_circuit_has_neither():
    plain = made(MODEL.model_copy(update={"head": "tanh"}))
    with pytest.raises(ModelError, match="no ideal circuit"):
        deployed.native(plain, DEVICE)
    with pytest.raises(ModelError, match="no surrogate"):
        deployed.dumps(plain, deployed.native(made(), DEVICE)[1])


@pytest.mark.parametrize("access", ["exact", "ideal"])
def test_who_sees_exactly_differentiates_the_model_where_it_runs(access):
    on, _ = deployed.fitted(made(), DEVICE)
    assert deployed.differentiated(on, search(access)) is on
    assert not on.stochastic


def test_who_sees_shots_differentiates_estimates_whose_draws_are_independent():
    on, _ = deployed.fitted(made(), DEVICE)
    attacked = deployed.differentiated(on, search())
    assert isinstance(attacked.head.core, ShotEstimate)
    assert attacked.stochastic
    first, again = attacked(IMAGES), attacked(IMAGES)
    assert torch.equal(first, again)  # the same sample, whatever ran before
    logits = [attacked.drawn(k)(IMAGES) for k in range(60)]
    assert torch.equal(logits[0], first)
    assert len({one.numpy().tobytes() for one in logits}) == 60
    mean, spread = torch.stack(logits).mean(0), torch.stack(logits).std(0)
    assert ((mean - on(IMAGES)).abs() < 5 * spread / 60**0.5 + 1e-6).all()  # around what the device gives
    other = deployed.differentiated(on, search(seed=1))
    assert not torch.equal(other(IMAGES), first)
    seeded = deployed.differentiated(on, search(device=SAMPLED.replace("shots", "seed: 5, shots")))
    assert not torch.equal(seeded(IMAGES), first)


@pytest.mark.parametrize("device", [None, DeviceSpec(name="qiskit.aer", noise="fake_manila", shots=None)])
def test_without_shots_the_logits_decide(device):
    on, _ = deployed.fitted(made(), DEVICE)
    judge = deployed.judge(on, judge_task(device), "pixels")
    assert isinstance(judge, Exact)
    assert np.array_equal(judge.decide(judge.see(IMAGES), "clean").own, on(IMAGES).argmax(1).numpy()[None])


def test_with_shots_samples_decide_afresh_and_reproducibly():
    on, _ = deployed.fitted(made(), DEVICE)
    many = IMAGES.repeat(20, 1, 1, 1)

    def decisions(name="clean", task=None, **changes):
        judge = deployed.judge(on, task or judge_task(SHOTS, **changes), "pixels")
        assert isinstance(judge, Samples)
        return judge.decide(judge.see(many), name).own

    first = decisions()
    assert np.array_equal(first, decisions())
    assert first.shape[1] == len(many)
    assert (first != first[0]).any()  # evaluations differ among each other
    others = [decisions("0.1"), decisions(seed=1), decisions(task=judge_task(DeviceSpec(**{**SHOTS.model_dump(), "seed": 3})))]
    assert all(not np.array_equal(first, other) for other in others)
    assert decisions(repeats=100).shape[0] == 100


def test_a_judge_of_angles_reads_angles():
    on, _ = deployed.fitted(made(), DEVICE)
    angles = on.at("angles").encode(IMAGES)
    for device in (None, SHOTS):
        judge = deployed.judge(on, judge_task(device), "angles")
        seen = judge.see(angles)
        assert judge.decide(seen, "clean").own.shape[1] == len(IMAGES)
