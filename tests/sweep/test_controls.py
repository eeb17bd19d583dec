"""The controls of a circuit, as the rooms make them: widths, parameter counts, and what they share with it."""

import pytest
import torch

from hqc_ray.models import heads
from hqc_ray.spec import ModelSpec
from hqc_ray.sweep.graph.resolve import Rooms
from tests.sweep.cases import Shelf, build, changed, do, planned


def controls(head, n_features=512, n_classes=2, **options):
    spec = ModelSpec(backbone="resnet18", weights="random", image_size=96, head=head, **options)
    filled = ModelSpec(**{**spec.model_dump(), **heads.get(spec).model_dump(mode="json")})
    return filled, heads.controls(filled, n_features, n_classes)


def size(spec, n_features, n_classes):
    return sum(p.numel() for p in heads.build(spec, n_features, n_classes, torch.Generator()).parameters())


@pytest.mark.parametrize(
    ("head", "options", "wide"), [("vqc1", {}, 4), ("vqc2", {}, 5), ("vqc6", {"n_qubits": 3, "layers": 2}, 3)]
)
def test_tanh_and_fourier_are_as_wide_as_the_circuit(head, options, wide):
    _, (tanh, fourier, mlp) = controls(head, **options)
    assert [(c.head, c.options) for c in (tanh, fourier)] == [("tanh", {"n_qubits": wide}), ("fourier", {"n_qubits": wide})]
    assert {(c.backbone, c.weights, c.image_size) for c in (tanh, fourier, mlp)} == {("resnet18", "random", 96)}


@pytest.mark.parametrize(("n_features", "n_classes"), [(512, 2), (12, 2), (5, 10), (2048, 3)])
@pytest.mark.parametrize(("head", "options"), [("vqc1", {}), ("vqc6", {"layers": 20}), ("vqc2", {"n_qubits": 2})])
def test_no_mlp_has_a_number_of_parameters_nearer_to_the_circuit_s(head, options, n_features, n_classes):
    spec, (*_, mlp) = controls(head, n_features, n_classes, **options)
    wanted, hidden = size(spec, n_features, n_classes), mlp.options["hidden"]
    tried = range(max(1, hidden - 2), hidden + 3)
    far = {h: abs(size(mlp.model_copy(update={"hidden": h}), n_features, n_classes) - wanted) for h in tried}
    assert far[hidden] == min(far.values())


def test_a_control_is_the_head_that_a_file_could_name():
    beside = changed(("head: tanh, n_qubits: 2", "head: vqc1, n_qubits: 2"), more="  controls: true")
    named = changed(("head: tanh, n_qubits: 2", "head: [tanh, fourier, mlp], n_qubits: 2, hidden: 3"))
    ids = [{t.id for t in planned(text).trainings} for text in (beside, named)]
    assert ids[1] < ids[0]  # 12 features, 2 classes, 12 weights: 44 parameters, of which each hidden unit takes 15
    assert len(ids[0]) == 4


def test_a_model_without_a_circuit_has_none():
    assert {t.id for t in planned(changed(more="  controls: true")).trainings} == {t.id for t in planned().trainings}
    assert Rooms().controls(ModelSpec(backbone="cnn1", weights="random", image_size=8, head="linear"), None) == ()


def test_circuit_and_controls_are_searched_on_the_same_images():
    graph, store = build(changed(("head: tanh, n_qubits: 2", "head: vqc1, n_qubits: 2"), more="  controls: true")), Shelf()
    do(graph, store)
    rows = [row for job in graph.jobs for row in job.rows]
    assert {row.head for row in rows} == {"vqc1", "tanh", "fourier", "mlp"}
    assert len({(row.data_digest, row.seed, row.weights_origin) for row in rows}) == 1
