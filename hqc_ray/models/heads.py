"""Heads: features to logits. A circuit in a bottleneck, and the classical controls of one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hqc_ray.errors import ModelError, unknown
from hqc_ray.quantum import circuits
from hqc_ray.quantum.cores import noisy_layer, surrogate
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.study.analysis import refuse_dead_embedding
from hqc_ray.spec import ModelSpec

CLASSES = 2
WIDTH = 4  # of the bottleneck of a control, unless the specification says otherwise: the qubits of most circuits
FEATURE_NORM = 10.0


class Head(nn.Module):
    """Features [B, F], standardised, to logits [B, 2].

    The standardisation (`center` [F] and one common `scale`, taken from the training features) belongs to the head, so that
    a saved head is complete. Without it, features of large norm saturate tanh at the first step: of SqueezeNet's 94 % of
    the bottleneck, and with random AlexNet weights nothing was learnt. One scale for all features, not one for each: a
    feature that is nearly constant on the training images must not be blown up for the attacker.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))

    def standardise(self, features: Tensor) -> None:
        """From now on, shift by the mean of `features` [N, F] and scale to a root mean square norm of `FEATURE_NORM`.

        Of 5, 10, 16 and sqrt(F) (unit variance), tried on 800 patches and four backbones, all are equally accurate; at 10
        at most 3 % of trained tanh outputs exceed 0.99, at sqrt(F) up to 48 %, which would hide gradients from an attack.
        """
        exact = features.double()
        center = exact.mean(0)
        norm = (exact - center).square().sum(1).mean().sqrt().item()
        self.center.copy_(center)
        self.scale.fill_(FEATURE_NORM / norm if norm > 0 else 1.0)

    def standardised(self, features: Tensor) -> Tensor:
        """Features [B, F] -> [B, F]."""
        return (features - self.center) * self.scale

    def on(self, device: Device) -> Head:
        """This head with its circuit on `device`: without a circuit, the same head."""
        return self

    def train_on(self, device: Device) -> None:
        """From now on, run the circuit on `device`, with its noise; without a circuit, nothing changes."""


class Dense(Head):
    """A head without a bottleneck: `layers` maps standardised features [B, F] to logits [B, 2]."""

    def __init__(self, n_features: int, layers: nn.Module) -> None:
        super().__init__(n_features)
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, 2] of features [B, F]."""
        return self.layers(self.standardised(features))


class Bottleneck(Head):
    """Linear(F, Q), angles = tanh(.) pi/2, a core from angles [B, Q] to outputs [B, Q], Linear(Q, 2).

    Args:
        n_features: F.
        core: the circuit, its surrogate, or a classical function in its place.
        n_qubits: Q.
        generator: draws the first weights of both linear layers.
    """

    def __init__(self, n_features: int, core: nn.Module, n_qubits: int, generator: torch.Generator) -> None:
        super().__init__(n_features)
        self.reduce = linear(n_features, n_qubits, generator)
        self.core = core
        self.readout = linear(n_qubits, CLASSES, generator)

    def angles(self, features: Tensor) -> Tensor:
        """Angles [B, Q], radians in (-pi/2, pi/2), of features [B, F]."""
        return torch.tanh(self.reduce(self.standardised(features))) * (math.pi / 2)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, 2] of features [B, F]."""
        return self.readout(self.core(self.angles(features)))

    def on(self, device: Device) -> Head:
        """A copy whose circuit is an exact surrogate of it on `device`; a head without a circuit is returned as it is.

        Raises:
            DeviceError: the device cannot run the circuit.
            CircuitError: the circuit has no exact surrogate on this device.
        """
        if not isinstance(self.core, (CircuitLayer, NoisyLayer)):
            return self
        weights = self.core.weights.detach()
        return self.with_core(surrogate.fit(self.core.circuit, weights.cpu(), device).to(weights.device))

    def train_on(self, device: Device) -> None:
        """From now on, run the circuit on `device`, with its noise; weights and the names in the state stay.

        Raises:
            DeviceError: the device has no exact gradients for the circuit's weights.
        """
        if isinstance(self.core, CircuitLayer):
            self.core = noisy_layer.on(self.core, device)

    def with_core(self, core: nn.Module) -> Bottleneck:
        """A frozen copy with another core, which maps angles [B, Q] to outputs [B, Q]."""
        twin = copy.deepcopy(self)
        twin.core = core
        return twin.requires_grad_(False)


class Direct(nn.Module):
    """The control without a circuit: angles [B, Q] to tanh's own values [B, Q], in the range (-1, 1) of <Z>."""

    def forward(self, angles: Tensor) -> Tensor:
        """Angles [B, Q], radians -> [B, Q]."""
        return angles * (2 / math.pi)


class Fourier(nn.Module):
    """The control of the same function class: outputs are trigonometric polynomials of degree one with free coefficients."""

    def __init__(self, n_qubits: int, generator: torch.Generator) -> None:
        super().__init__()
        # the 3**Q products have a squared norm of 2**Q at all angles: outputs begin with variance 1
        start = torch.randn(3**n_qubits, n_qubits, generator=generator) * 2 ** (-n_qubits / 2)
        self.coefficients = nn.Parameter(start)

    def forward(self, angles: Tensor) -> Tensor:
        """Angles [B, Q], radians -> [B, Q]."""
        return surrogate.trig_features(angles) @ self.coefficients


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """torch's linear layer with torch's first weights, U(-1/sqrt(inputs), 1/sqrt(inputs)), drawn by `generator`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def _linear(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    return Dense(n_features, linear(n_features, CLASSES, generator))


def _mlp(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    first, last = linear(n_features, spec.hidden, generator), linear(spec.hidden, CLASSES, generator)
    return Dense(n_features, nn.Sequential(first, nn.ReLU(), last))


def _tanh(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    return Bottleneck(n_features, Direct(), spec.n_qubits or WIDTH, generator)


def _fourier(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    width = spec.n_qubits or WIDTH
    return Bottleneck(n_features, Fourier(width, generator), width, generator)


def _circuit(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    found = circuit(spec)
    return Bottleneck(n_features, CircuitLayer(found, generator), found.n_qubits, generator)


def circuit(spec: ModelSpec) -> circuits.Circuit:
    """The circuit of a head that is one.

    Raises:
        CircuitError: it cannot have these qubits or this embedding, or no input moves any of its outputs.
    """
    found = circuits.get(spec.head, spec.n_qubits, spec.embedding, spec.layers, spec.reuploads)
    refuse_dead_embedding(found)
    return found


Builder = Callable[[ModelSpec, int, torch.Generator], Head]
CONTROLS: dict[str, Builder] = {"linear": _linear, "mlp": _mlp, "tanh": _tanh, "fourier": _fourier}
HEADS: dict[str, Builder] = {**CONTROLS, **dict.fromkeys(circuits.CIRCUITS, _circuit)}


def build(spec: ModelSpec, n_features: int, generator: torch.Generator) -> Head:
    """The head of `spec`: a control, a circuit of the table, or a user's own circuit `package.module:function`.

    Args:
        spec: its head, n_qubits, embedding and hidden.
        n_features: F.
        generator: draws all first weights.

    Raises:
        ModelError: an unknown head.
        CircuitError: a circuit that cannot have these qubits or this embedding.
    """
    if spec.head not in HEADS and ":" not in spec.head:
        raise unknown("head", spec.head, [*HEADS, "package.module:function"], ModelError)
    return HEADS.get(spec.head, _circuit)(spec, n_features, generator)
