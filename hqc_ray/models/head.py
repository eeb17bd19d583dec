"""What a head is as a torch module: features to logits, directly or through a bottleneck of angles."""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from hqc_ray.errors import ModelError
from hqc_ray.models.levels import BOTTLENECK, DIRECT, NARROW
from hqc_ray.quantum.cores import Redrawable, noisy_layer, surrogate
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.spec import Level

FEATURE_NORM = 10.0


class Head(nn.Module):
    """Features [B, F] to logits [B, K]; a subclass says how in `logits`, which reads standardised features.

    The standardisation (`center` [F] and one common `scale`, taken from the training features) belongs to the head, so that
    a saved head is complete. Without it, features of large norm saturate tanh at the first step: of SqueezeNet's 94 % of
    the bottleneck, and with random AlexNet weights nothing was learnt. One scale for all features, not one for each: a
    feature that is nearly constant on the training images must not be blown up for the attacker.

    Args:
        n_features: F.
        n_classes: K.
    """

    levels: ClassVar[tuple[Level, ...]] = DIRECT  # at which the head can be attacked
    center: Tensor
    scale: Tensor

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Logits [B, K] of features [B, F]."""
        return self.logits(self.standardised(features))

    def logits(self, values: Tensor) -> Tensor:
        """Logits [B, K] of standardised features [B, F]."""
        raise NotImplementedError

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

    @property
    def bottleneck(self) -> bool:
        """Whether there is something between pre-activations and logits."""
        return "angles" in self.levels

    def preactivations(self, values: Tensor) -> Tensor:
        """Pre-activations [B, Q] of standardised features [B, F], what tanh squeezes into angles, or what the hidden units of a
        narrow MLP are given; of a head without a bottleneck its logits.
        """
        return self.logits(values)

    def concluded(self, preactivations: Tensor) -> Tensor:
        """Logits [B, K] of pre-activations [B, Q]: all that is left of the classifier behind them, small and exact."""
        return preactivations

    def squeezed(self, values: Tensor) -> Tensor:
        """Angles [B, Q], radians in (-pi/2, pi/2), of standardised features [B, F].

        Raises:
            ModelError: the head has no bottleneck; so do `angles` and `decided`.
        """
        raise _no_bottleneck()

    def angles(self, features: Tensor) -> Tensor:
        """Angles [B, Q], radians in (-pi/2, pi/2), of features [B, F]."""
        return self.squeezed(self.standardised(features))

    def decided(self, angles: Tensor) -> Tensor:
        """Logits [B, K] of angles [B, Q]."""
        raise _no_bottleneck()

    def sampled(
        self, angles: Tensor, shots: int, generator: torch.Generator, repeats: int = 1, replicas: torch.Generator | None = None
    ) -> Tensor:
        """Logits [repeats, B, K] of angles [B, Q], each from `shots` fresh samples of every circuit; no gradient.

        With `replicas`, each from another replicate of a measured surrogate, drawn from that generator.

        Raises:
            ModelError: there is no circuit on a device (see `on`).
        """
        raise _no_samples()

    @property
    def ideal(self) -> CircuitLayer | None:
        """The trained circuit on an ideal device; None without one, or where a device has taken its place."""
        return None

    @property
    def surrogate(self) -> Surrogate | None:
        """The exact surrogate of the circuit on a device; None where there is none."""
        return None

    @property
    def stochastic(self) -> bool:
        """Whether the logits are random samples, so that `drawn` gives others."""
        return False

    def drawn(self, k: int) -> Head:
        """The head with the k-th independent draw of a stochastic core; itself where nothing is stochastic."""
        return self

    def on(self, device: Device) -> Head:
        """This head with its circuit on `device`: without a circuit, the same head."""
        return self

    def train_on(self, device: Device) -> None:
        """From now on, run the circuit on `device`, with its noise; without a circuit, nothing changes."""


class Dense(Head):
    """A head without angles: `layers` maps standardised features [B, F] to logits [B, K].

    An MLP as small as a circuit has a bottleneck too, its first hidden layer: what traps a gradient there are dead units.
    """

    def __init__(self, n_features: int, n_classes: int, layers: nn.Module) -> None:
        super().__init__(n_features, n_classes)
        self.layers = layers

    def logits(self, values: Tensor) -> Tensor:
        """Logits [B, K] of standardised features [B, F]."""
        return self.layers(values)

    @property
    def bottleneck(self) -> bool:
        """See `Head`."""
        return self._narrow is not None

    def preactivations(self, values: Tensor) -> Tensor:
        """Of a narrow MLP what its hidden units are given, [B, Q]; else the logits."""
        return self.logits(values) if self._narrow is None else self._narrow[0](values)

    def concluded(self, preactivations: Tensor) -> Tensor:
        """See `Head`."""
        return preactivations if self._narrow is None else self._narrow[1:](preactivations)

    @property
    def _narrow(self) -> nn.Sequential | None:
        """The layers, if the first of several is linear and narrow."""
        layers = self.layers
        if not isinstance(layers, nn.Sequential) or len(layers) < 2 or not isinstance(layers[0], nn.Linear):
            return None
        return layers if layers[0].out_features <= NARROW else None


class Bottleneck(Head):
    """Linear(F, Q), angles = tanh(.) pi/2, a core from angles [B, Q] to outputs [B, Q], Linear(Q, K).

    Args:
        n_features: F.
        n_classes: K.
        core: the circuit, its surrogate, or a classical function in its place: a torch module that is a `cores.Core`.
        n_qubits: Q.
        generator: draws the first weights of both linear layers.
    """

    levels = BOTTLENECK

    def __init__(self, n_features: int, n_classes: int, core: nn.Module, n_qubits: int, generator: torch.Generator) -> None:
        super().__init__(n_features, n_classes)
        self.reduce = linear(n_features, n_qubits, generator)
        self.core = core
        self.readout = linear(n_qubits, n_classes, generator)

    def preactivations(self, values: Tensor) -> Tensor:
        """See `Head`."""
        return self.reduce(values)

    def concluded(self, preactivations: Tensor) -> Tensor:
        """See `Head`."""
        return self.decided(_squeeze(preactivations))

    def squeezed(self, values: Tensor) -> Tensor:
        """Angles [B, Q], radians in (-pi/2, pi/2), of standardised features [B, F]."""
        return _squeeze(self.reduce(values))

    def decided(self, angles: Tensor) -> Tensor:
        """Logits [B, K] of angles [B, Q]."""
        return self.readout(self.core(angles))

    def logits(self, values: Tensor) -> Tensor:
        """Logits [B, K] of standardised features [B, F]."""
        return self.decided(self.squeezed(values))

    @property
    def ideal(self) -> CircuitLayer | None:
        """See `Head`."""
        return self.core if isinstance(self.core, CircuitLayer) else None

    @property
    def surrogate(self) -> Surrogate | None:
        """See `Head`."""
        return self.core if isinstance(self.core, Surrogate) else None

    @property
    def stochastic(self) -> bool:
        """See `Head`."""
        return bool(getattr(self.core, "stochastic", False))  # a user's own core need not say it

    def drawn(self, k: int) -> Head:
        """See `Head`."""
        return self.with_core(self.core.drawn(k)) if isinstance(self.core, Redrawable) and self.stochastic else self

    def sampled(
        self, angles: Tensor, shots: int, generator: torch.Generator, repeats: int = 1, replicas: torch.Generator | None = None
    ) -> Tensor:
        """See `Head`."""
        if self.surrogate is None:
            raise _no_samples()
        with torch.no_grad():
            return self.readout(self.surrogate.samples(angles, shots, generator, repeats, replicas))

    def on(self, device: Device) -> Head:
        """A copy whose circuit is an exact surrogate of it on `device`; a head without a circuit is returned as it is.

        Raises:
            DeviceError: the device cannot run the circuit.
            CircuitError: the circuit has no exact surrogate on this device.
        """
        if not isinstance(self.core, CircuitLayer | NoisyLayer):
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
        """A frozen copy with another core, which maps angles [B, Q] to outputs [B, Q]; the core itself is not copied."""
        twin = copy.deepcopy(self, {id(self.core): core})  # the memo of deepcopy: where the old core was, there is the new one
        return twin.requires_grad_(False)


def _squeeze(preactivations: Tensor) -> Tensor:
    """Angles [B, Q], radians in (-pi/2, pi/2), of pre-activations [B, Q]."""
    return torch.tanh(preactivations) * (math.pi / 2)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """torch's linear layer with torch's first weights, U(-1/sqrt(inputs), 1/sqrt(inputs)), drawn by `generator`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def _no_bottleneck() -> ModelError:
    return ModelError("the head has no bottleneck of angles", valid="tanh, fourier, or a circuit")


def _no_samples() -> ModelError:
    return ModelError("there is no circuit on a device to sample from", valid="a model with a circuit, after on(device)")
