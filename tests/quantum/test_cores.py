"""What every core keeps, wherever it computes: angles in, outputs out, on one torch device, and plain about chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from quantum_cases import inputs
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import ResultsError
from hqc_ray.quantum import cores
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.ideal.layer import CircuitLayer

CIRCUIT = circuits.get("quantum_cases:mixed", 3, "h+ry", readout="x")
WEIGHTS, ANGLES = inputs(CIRCUIT, batch=5)
WIDE = inputs(CIRCUIT, batch=12)[1]  # more rows than outcomes: the ideal layer goes another way
MANILA = devices.get("qiskit.aer", noise="fake_manila")


def fitted() -> surrogate.Surrogate:
    return surrogate.fit(CIRCUIT, WEIGHTS, MANILA)


EXACT: dict[str, Callable[[], nn.Module]] = {
    "CircuitLayer": lambda: CircuitLayer(CIRCUIT, torch.Generator().manual_seed(0)),
    "Surrogate": fitted,
    "NoisyLayer": lambda: NoisyLayer(CIRCUIT, MANILA, torch.Generator().manual_seed(0)),
    "Native": lambda: Native(CIRCUIT, WEIGHTS, MANILA),
}
SAMPLED: dict[str, Callable[[], nn.Module]] = {
    "ShotEstimate": lambda: ShotEstimate(fitted(), CIRCUIT, 1000, seed=4),
    "Native": lambda: Native(CIRCUIT, WEIGHTS, devices.get("default.qubit", shots=1000, seed=4)),
}
ON_ONE_DEVICE = ["CircuitLayer", "Surrogate", "NoisyLayer"]


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_core_says_so_and_is_its_own_draw(name: str) -> None:
    core: Any = EXACT[name]()
    assert core.stochastic is False
    assert cores.drawn(core, 3) is core
    assert core(ANGLES.float()).dtype == torch.float32
    assert torch.equal(core(ANGLES), core(ANGLES))


@pytest.mark.parametrize("name", SAMPLED)
def test_draws_of_a_stochastic_core_are_independent_and_repeatable(name: str) -> None:
    core: Any = SAMPLED[name]()
    assert core.stochastic is True
    draws = torch.stack([cores.drawn(core, k)(ANGLES) for k in range(40)])  # type: ignore[operator]  # a core is a module
    assert torch.equal(draws[0], core(ANGLES))
    assert torch.equal(draws[7], core.drawn(7)(ANGLES))
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 40
    mean, error = draws.mean(0), ((1 - draws.mean(0).square()) / 1000).sqrt().clamp_min(1e-3)
    torch.testing.assert_close(draws.std(0) / error, torch.ones_like(mean), atol=0.5, rtol=0)
    halves = (draws[:20] - mean) * (draws[20:] - mean) / error.square()
    assert halves.mean().abs() < 0.25  # of 300 products with a variance of about 1


def test_draw_0_is_the_stream_of_the_seed() -> None:
    """These numbers may never move: rows of sweeps were made of them."""
    circuit = circuits.get("sim14", 4)
    weights = 6 * torch.rand(circuit.n_weights, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angles = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))[:3].double()
    core = ShotEstimate(surrogate.fit(circuit, weights, devices.get("default.qubit")), circuit, 1000, seed=4)
    expected = [[0.066, 0.192, 0.334, 0.198], [-0.284, 0.462, 0.558, -0.488], [-0.52, 0.328, 0.378, -0.472]]
    torch.testing.assert_close(core(angles), torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)


def test_draws_have_gradients_of_their_own() -> None:
    core = ShotEstimate(fitted(), CIRCUIT, 1000, seed=4)
    assert core.drawn(0).draw == 0
    again = ShotEstimate(core.surrogate, CIRCUIT, 1000, seed=4, draw=2)
    assert torch.equal(again(ANGLES), core.drawn(2)(ANGLES))
    assert core.drawn(2).surrogate is core.surrogate
    angles = ANGLES.clone().requires_grad_()
    gradients = [torch.autograd.grad(core.drawn(k)(angles).sum(), angles)[0] for k in (0, 1, 1)]
    assert torch.equal(gradients[1], gradients[2])
    assert not torch.equal(gradients[0], gradients[1])
    (exact,) = torch.autograd.grad(core.surrogate(angles).sum(), angles)
    assert (gradients[1] - exact).abs().max() < 0.3


def test_a_stochastic_core_without_draws_is_named() -> None:
    class Noise(nn.Module):
        stochastic = True

        def forward(self, angles: Tensor) -> Tensor:
            return angles + torch.randn_like(angles)

    with pytest.raises(TypeError, match="Noise is stochastic and has no drawn"):
        cores.drawn(Noise(), 1)


def test_a_surrogate_survives_its_file_bit_for_bit() -> None:
    made = fitted()
    content = surrogate.dumps(made, {"depth": 17, "layout": "[1, 2, 3]"})
    copy, facts = surrogate.loads(content)
    assert facts == {"depth": 17, "layout": "[1, 2, 3]"}
    assert (copy.degree, copy.max_error) == (made.degree, made.max_error)
    assert torch.equal(copy(ANGLES), made(ANGLES))
    assert surrogate.dumps(copy, facts) == content


@pytest.mark.parametrize("content", [b"", b"not a file", surrogate.dumps(surrogate.Surrogate(2), {})[:-300]])
def test_a_file_that_is_no_surrogate_is_named(content: bytes) -> None:
    with pytest.raises(ResultsError, match="not a surrogate of hqc_ray"):
        surrogate.loads(content)


class OnOneDevice(TorchDispatchMode):
    """Fails on what makes the host wait for the device, or copies to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value is read by the host"
        if func is torch.ops.aten._to_copy.default:
            assert kwargs.get("device") in (None, args[0].device), f"a copy to {kwargs['device']}"
        made = func(*args, **kwargs)
        assert not isinstance(made, Tensor) or made.device.type == self.place, f"{func} made a tensor on {made.device}"
        return made

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place


def forward_and_backward(core: nn.Module, angles: Tensor) -> list[Tensor]:
    """Outputs, and the gradients of all of them to the angles and to whatever else is trained."""
    angles = angles.clone().requires_grad_()
    with OnOneDevice(angles.device.type):
        outputs = core(angles)
        gradients = torch.autograd.grad(outputs.square().sum(), [angles, *core.parameters()])
    return [outputs, *gradients]


PLACES = [
    "cpu",
    "meta",  # tensors without values: whatever needs one, or another torch device, fails
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angles", [ANGLES, WIDE], ids=["few", "many"])
@pytest.mark.parametrize("name", ON_ONE_DEVICE)
def test_a_core_stays_on_its_torch_device(name: str, angles: Tensor, dtype: torch.dtype, place: str) -> None:
    core = EXACT[name]().to(place)
    found = forward_and_backward(core, angles.to(place, dtype))
    assert {part.device.type for part in found} == {place}
    assert [part.dtype for part in found[:2]] == [dtype, dtype]
    if place == "cuda":
        expected = forward_and_backward(EXACT[name](), angles.to(dtype))
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, atol=tolerance, rtol=0)


@pytest.mark.parametrize("wrong", [lambda x: x * x.max().item(), lambda x: x * torch.tensor(x.tolist()), lambda x: x.cpu() * 2])
def test_what_leaves_the_device_would_be_seen(wrong: Callable[[Tensor], Tensor]) -> None:
    class Wrong(nn.Module):
        def forward(self, angles: Tensor) -> Tensor:
            return wrong(angles)

    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        forward_and_backward(Wrong(), ANGLES.to("meta"))
