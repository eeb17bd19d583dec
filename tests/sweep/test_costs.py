"""Expected seconds: what makes a job longer, and what costs next to nothing."""

from dataclasses import replace

import pytest

from hqc_ray.spec import DeviceSpec, ModelSpec
from hqc_ray.sweep.graph import costs
from tests.sweep.cases import changed, planned

VGG, RESNET = (ModelSpec(backbone=name, image_size=96, head="vqc1", n_qubits=4) for name in ("vgg16", "resnet18"))
NOISE = DeviceSpec(name="qiskit.aer", noise="fake_manila")


def search(attack="fgsm", epsilons=2, judges=1, images=100, level="pixels", more=""):
    text = changed(("{name: fgsm, epsilon: [0.01, 0.1]}", f"{{name: {attack}, epsilon: 0.1, level: {level}{more}}}"))
    return costs.search(planned(text).groups[0].search, epsilons, judges, images)


def training(*changes, more=""):
    return planned(changed(*changes, more=more)).trainings[0]


def test_a_forward_pass_grows_with_the_network_and_the_area_of_the_image():
    assert costs.forward(VGG) > 5 * costs.forward(RESNET) > 0
    half, whole = (RESNET.model_copy(update={"image_size": side}) for side in (112, 224))
    assert costs.forward(whole) == pytest.approx(4 * costs.forward(half))
    assert costs.forward(whole) == costs.forward(RESNET.model_copy(update={"image_size": None}))
    assert costs.forward(whole) == pytest.approx(1.8 / costs.GMACS_PER_SECOND, rel=0.05)


def test_a_network_that_nobody_has_counted_has_a_cost():
    unknown = ModelSpec(backbone="tests.sweep.cases:tiny", image_size=224)
    assert costs.forward(unknown) == costs.UNKNOWN_GMACS / costs.GMACS_PER_SECOND
    assert costs.forward(unknown.model_copy(update={"image_size": 56})) == pytest.approx(costs.forward(unknown) / 16)


def test_more_of_anything_costs_more():
    plain = search("pgd", more=", steps: 4")
    assert search("pgd", epsilons=5, more=", steps: 4") > plain
    assert search("pgd", judges=3, more=", steps: 4") > plain
    assert search("pgd", more=", steps: 8") > plain
    assert search("pgd", more=", steps: 4, restarts: 3") > 2 * plain
    assert search("pgd", images=200, more=", steps: 4") == pytest.approx(2 * plain)
    assert plain > search("fgsm") > search("noise") > 0


def test_one_search_for_all_strengths_is_not_paid_for_each():
    once, each = (search(name, 5) / search(name, 1) for name in ("deepfool", "pgd"))
    assert once < 2 < 4 < each


@pytest.mark.parametrize("level", ["features", "angles"])
def test_behind_the_backbone_next_to_nothing_is_computed(level):
    found = planned(changed(("{name: fgsm,", "{name: pgd, level: [pixels, features, angles],")))
    attacked = {group.search.attack.level: group.search for group in found.groups}
    training = replace(found.trainings[0], model=RESNET)  # a backbone that costs something
    pixels, behind = (costs.search(replace(attacked[at], training=training), 2, 1, 100) for at in ("pixels", level))
    assert 0 < behind < pixels / 100


def test_more_classes_cost_deepfool_more():
    def of(k):
        text = changed(("fgsm", "deepfool"), ("size: 40", f"size: 40, n_classes: {k}, images: 200"))
        return costs.search(planned(text).groups[0].search, 2, 1, 100)

    assert of(10) > of(2)


def test_a_training_costs_its_epochs_its_qubits_and_its_noise():
    plain = costs.train(training())
    assert costs.train(training(("epochs: 1", "epochs: 10"))) == pytest.approx(10 * plain)
    assert costs.train(training(("tanh, n_qubits: 2", "vqc1, n_qubits: 8"))) > 5 * plain
    noisy = training(("tanh", "vqc1"), ("epochs: 1", "epochs: 1, device: {name: qiskit.aer, noise: fake_manila}"))
    assert costs.train(noisy) > costs.train(training(("tanh", "vqc1")))
    ends = training(("cases:tiny", "cases:Trained"), ("size: 40", "size: 60"))
    assert costs.train(ends) == pytest.approx(0.7 * 60 * (1 + costs.BACKWARD) * 0.01 / costs.GMACS_PER_SECOND)


def test_a_fit_costs_its_circuits():
    four, five = (RESNET.model_copy(update={"n_qubits": n}) for n in (4, 5))
    assert costs.circuits(four, NOISE) > 3**4
    assert costs.circuits(five, NOISE) > 2.5 * costs.circuits(four, NOISE)
    assert costs.fit(five, NOISE) > costs.fit(four, NOISE) > costs.fit(four, DeviceSpec(name="default.qubit"))


def test_a_total_counts_each_thing_once():
    one, two, seeds = (planned(changed(*c, more=m)) for c, m in (
        ([], ""), ([("tanh", "[tanh, fourier]")], ""), ([], "  seed: [0, 1]"),
    ))  # fmt: skip
    features = 40 * costs.forward(one.trainings[0].model)
    assert costs.total(two) - features == pytest.approx(2 * (costs.total(one) - features))  # the features of both heads are one
    assert costs.total(seeds) == pytest.approx(2 * costs.total(one))


def test_shots_of_judges_are_counted():
    def of(device, repeats=1):
        text = changed(("tanh", "vqc1"), ("images: 6", f"images: 6, repeats: {repeats}"), more=f"  device: {device}")
        return sum(costs.sampled_shots(group) for group in planned(text).groups)

    sampled = "{name: qiskit.aer, noise: fake_manila, shots: 100}"
    assert of("{name: qiskit.aer, noise: fake_manila}") == 0
    assert of(sampled) == 100 * costs.SPREAD * (1 + 2) * 6
    assert of(sampled, repeats=costs.SPREAD + 10) == 100 * (costs.SPREAD + 10) * (1 + 2) * 6
    assert of(sampled.replace("100", "200")) == 2 * of(sampled)
