"""What a circuit can do, whatever it is trained to: expressibility, entangling capability, weights and inputs without effect.

Expressibility and entangling capability follow Sim, Johnson, Aspuru-Guzik, Adv. Quantum Technol. 2, 1900070 (2019).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.errors import CircuitError
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.ideal.states import states
from hqc_ray.seeds import rng

if TYPE_CHECKING:
    import torch

    from hqc_ray.quantum.ideal import layer
else:
    torch, layer = later("torch"), later("hqc_ray.quantum.ideal.layer")

ROUNDING = 1e-10  # gradients and changes of what is alive, at random points, are many orders above this
DRAWS = 4
PAIRS, BINS = 5000, 75  # of the published values
RESAMPLES = 200  # of a bootstrap
NORMAL = 1.959964  # half width of a 95 % interval, in standard errors
ENTRIES = 2**21  # amplitudes that exist at the same time: 32 MiB


@dataclass(frozen=True)
class Estimate:
    """A number from random samples.

    Args:
        value: the estimate.
        low: lower end of its 95 % sampling interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


def expressibility(circuit: Circuit, pairs: int = PAIRS, seed: int = 0, embedded: bool = False) -> Estimate:
    """KL divergence, in nats, of the fidelities of `pairs` random pairs of states to those of Haar-random states; 0 is the best.

    Weights are uniform in [0, 2 pi). The interval is what repetitions of this estimate scatter in, by a bootstrap of the
    histogram; the estimate is biased upwards, for a Haar-random circuit to `floor`.

    Args:
        circuit: what to sample.
        pairs: fidelities in the histogram.
        seed: of the samples.
        embedded: with the embedding, at inputs uniform in [0, 2 pi); without it as published: weighted gates on |0...0>.
    """
    fidelities = [_overlaps(block) for block in _blocks(circuit, 2 * pairs, seed, embedded)]
    counts = np.histogram(np.concatenate(fidelities), bins=BINS, range=(0.0, 1.0))[0]
    haar = _log_haar(circuit.n_qubits, BINS)
    value = float(_divergence(counts, haar))
    resampled = rng(seed, "bootstrap").multinomial(pairs, counts / pairs, size=RESAMPLES)
    spread = NORMAL * float(np.std(_divergence(resampled, haar), ddof=1))
    return Estimate(value, max(value - spread, 0.0), value + spread)


def floor(n_qubits: int, pairs: int = PAIRS, seed: int = 0) -> float:
    """What `expressibility` gives on average for Haar-random states: the bias of its sample size."""
    haar = _log_haar(n_qubits, BINS)
    return float(_divergence(rng(seed, "floor").multinomial(pairs, np.exp(haar), size=RESAMPLES), haar).mean())


def entangling_capability(circuit: Circuit, samples: int = 2 * PAIRS, seed: int = 0, embedded: bool = False) -> Estimate:
    """Mean Meyer-Wallach Q of states at random weights: 0 for products, 1 at most; (2^Q - 2) / (2^Q + 1) for Haar-random ones.

    Meyer, Wallach, J. Math. Phys. 43, 4273 (2002), as Q = 2 - 2 mean over wires of Tr rho^2. `embedded` as in `expressibility`.
    """
    values = np.concatenate([_meyer_wallach(block, circuit.n_qubits) for block in _blocks(circuit, samples, seed, embedded)])
    value, spread = min(max(float(values.mean()), 0.0), 1.0), NORMAL * float(values.std(ddof=1)) / math.sqrt(samples)
    return Estimate(value, max(value - spread, 0.0), min(value + spread, 1.0))


def dead_weights(circuit: Circuit, seed: int = 0) -> list[int]:
    """The weights that cannot move any <Z>: their gradient vanishes at random weights, angles and directions.

    Known for RX and RY embeddings: vqc1 has 8 of 28, vqc3 5 of 55, vqc4 7 of 49 on 7 qubits; vqc2, vqc5, vqc6 have none.
    """
    generator = torch.Generator().manual_seed(seed)
    largest = torch.zeros(circuit.n_weights, dtype=torch.float64)
    for _ in range(DRAWS):
        circuit_layer = layer.CircuitLayer(circuit, generator)
        angles = math.pi * (2 * torch.rand(8, circuit.n_qubits, generator=generator, dtype=torch.float64) - 1)
        outputs = circuit_layer(angles)
        direction = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((outputs * direction).sum(), [circuit_layer.weights])
        largest = torch.maximum(largest, gradient.abs())
    return [index for index, value in enumerate(largest.tolist()) if value < ROUNDING]


def dead_inputs(circuit: Circuit, seed: int = 0) -> list[int]:
    """The inputs whose angle cannot move any <Z>: another value changes nothing, at random weights and other angles."""
    n, random = circuit.n_qubits, rng(seed, "dead inputs")
    weights = random.uniform(0, 2 * math.pi, (DRAWS, circuit.n_weights))
    angles = random.uniform(0, 2 * math.pi, (2, DRAWS, n))
    moved = np.where(np.eye(n, dtype=bool)[:, None, :], angles[1], angles[0])  # [Q, DRAWS, Q]: input i has another value
    before = _expectations(circuit, weights, angles[0])
    return [i for i in range(n) if np.abs(_expectations(circuit, weights, moved[i]) - before).max() < ROUNDING]


def weights_move(circuit: Circuit, seed: int = 0) -> bool:
    """Whether any weight can move any <Z>: whether other weights change anything, at random angles."""
    random = rng(seed, "dead weights")
    angles = random.uniform(0, 2 * math.pi, (DRAWS, circuit.n_qubits))
    one, other = (_expectations(circuit, random.uniform(0, 2 * math.pi, (DRAWS, circuit.n_weights)), angles) for _ in range(2))
    return bool(np.abs(one - other).max() >= ROUNDING)


@functools.lru_cache(maxsize=256)
def refuse_dead_embedding(circuit: Circuit) -> None:
    """Refuse a circuit that no input reaches: a model with it ignores its images, and no attack can succeed.

    Raises:
        CircuitError: every input is dead.
    """
    if len(dead_inputs(circuit)) == circuit.n_qubits:
        raise CircuitError(
            f"embedding {circuit.embedding!r} is dead: no input moves any output, so every input gradient is exactly zero, which "
            "fakes robustness", where=f"circuit {circuit.name!r}", valid="another embedding, more layers, or another circuit",
        )  # fmt: skip


def _blocks(circuit: Circuit, count: int, seed: int, embedded: bool) -> Iterator[np.ndarray]:
    """`count` states at random weights, in blocks [n, 2**Q] of an even number of states."""
    random = rng(seed, "states")
    size = max(ENTRIES >> circuit.n_qubits, 2)
    for start in range(0, count, size):
        n = min(size, count - start)
        weights = random.uniform(0, 2 * math.pi, (n, circuit.n_weights))
        yield states(circuit, weights, random.uniform(0, 2 * math.pi, (n, circuit.n_qubits)) if embedded else None)


def _overlaps(block: np.ndarray) -> np.ndarray:
    """Fidelities [n / 2] of neighbours in a block [n, 2**Q]."""
    inner = np.einsum("nd,nd->n", block[0::2].conj(), block[1::2])
    return np.minimum(np.abs(inner) ** 2, 1.0)  # rounding must not push a fidelity of 1 out of the histogram


def _log_haar(n_qubits: int, bins: int) -> np.ndarray:
    """Logarithms [bins] of the probabilities of fidelity bins of Haar-random states: P(F > f) = (1 - f)^(2^Q - 1)."""
    power, left = 2**n_qubits - 1, np.arange(bins) / bins
    with np.errstate(divide="ignore"):
        return power * np.log1p(-left) + np.log1p(-np.exp(power * (np.log1p(-left - 1 / bins) - np.log1p(-left))))


def _divergence(counts: np.ndarray, log_haar: np.ndarray) -> np.ndarray:
    """KL divergence [...] in nats of histograms [..., bins] to the Haar probabilities; an empty bin contributes nothing."""
    shares = counts / counts.sum(-1, keepdims=True)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return np.asarray((shares * (logs - log_haar)).sum(-1))


def _meyer_wallach(block: np.ndarray, n_qubits: int) -> np.ndarray:
    """Q [n] of states [n, 2**Q]."""
    purities = []
    for wire in range(n_qubits):
        halves = block.reshape(len(block), 2**wire, 2, -1)
        reduced = np.einsum("nlar,nlbr->nab", halves, halves.conj(), optimize=True)
        purities.append((np.abs(reduced) ** 2).sum((1, 2)))
    return np.asarray(2 - 2 * np.mean(purities, axis=0))


def _expectations(circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """<Z> of every wire [B, Q] of weights [B, W], angles [B, Q]."""
    return np.asarray(np.abs(states(circuit, weights, angles)) ** 2 @ _signs(circuit.n_qubits))


def _signs(n_qubits: int) -> np.ndarray:
    """[2**Q, Q]: the eigenvalue of Z on each wire in each outcome; wire 0 is the leftmost bit."""
    return 1.0 - 2.0 * (np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits - 1, -1, -1) & 1)
