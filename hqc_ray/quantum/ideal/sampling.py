"""Finite shots: multinomial samples of exact outcome probabilities, seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.quantum.ideal import simulate
else:
    torch, simulate = later("torch"), later("hqc_ray.quantum.ideal.simulate")


def sample(probabilities: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Frequencies [..., 2**Q] of `shots` multinomial samples of probabilities [..., 2**Q]."""
    clipped = np.clip(probabilities, 0.0, None)  # exact zeros come out of a float calculation as -1e-18
    return generator.multinomial(shots, clipped / clipped.sum(-1, keepdims=True)) / shots


def sample_expectations(probabilities: Tensor, shots: int, generator: torch.Generator) -> Tensor:
    """<Z> of every wire [B, Q] float64 from `shots` fresh samples of probabilities [B, 2**Q]."""
    frequencies = sample(probabilities.detach().cpu().double().numpy(), shots, np.random.default_rng(drawn_seed(generator)))
    n_qubits = probabilities.shape[-1].bit_length() - 1
    return (torch.from_numpy(frequencies) @ simulate.z_signs(n_qubits)).to(probabilities.device)


def drawn_seed(generator: torch.Generator) -> int:
    """A seed for one of numpy's generators, drawn from one of torch's."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))
