"""Radii from one constant for all images: what the certificate of each image is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from hqc_ray.certify import NORMS
from hqc_ray.certify.basis import Array
from hqc_ray.certify.margins import Decision, covers, decision
from hqc_ray.errors import ModelError
from hqc_ray.models.head import Bottleneck, Head
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.spec import Level


def lipschitz(head: Head, level: Level, values: Tensor, labels: Sequence[int] | Tensor) -> Array:
    """Certified radii [N] from the Lipschitz constant of each margin, bounded by the norms of its coefficients.

    Args and errors as of `certificate.certify`.
    """
    return _radii(head, level, values, labels, lambda decided, label: decided.margins(label).steepness)


def berberich(head: Head, level: Level, values: Tensor, labels: Sequence[int] | Tensor) -> Array:
    """Certified radii [N] from the generators alone: |f(x) - f(y)| <= 2 |M| sum_q |H_q| |x_q - y_q|, with |H_q| = 1/2.

    M = sum_q w_q Z_q is the observable of a margin, of norm sum |w_q|; an angle that enters d times counts d times. It holds for
    ideal and noisy circuits, whose channels bring no states apart; not for mitigated ones, and not for Fourier series or tanh.

    Raises:
        ModelError: the head is no circuit, or a mitigated one, or has no such level.

    Source: J. Berberich et al., Phys. Rev. Research 6, 043326 (2024).
    """
    if not isinstance(head, Bottleneck) or not (head.ideal is not None or isinstance(head.core, Surrogate)):
        raise ModelError("the bound needs the generators of a circuit", valid="a circuit, ideal or as its surrogate")
    if head.surrogate is not None and head.surrogate.quasi:
        raise ModelError("mitigated expectations may leave [-1, 1], where the bound does not hold", valid="no mitigation")
    weight = head.readout.weight.detach().cpu().double().numpy()
    degree = head.ideal.circuit.degree if head.ideal is not None else head.core.degree

    def slopes(_: Decision, label: int) -> Array:
        norms = np.abs(weight[label] - np.delete(weight, label, 0)).sum(1)
        return np.repeat(degree * norms[:, None], weight.shape[1], axis=1)

    return _radii(head, level, values, labels, slopes)


def _radii(
    head: Head, level: Level, values: Tensor, labels: Sequence[int] | Tensor, slopes: Callable[[Decision, int], Array]
) -> Array:
    """[N] radii within which margins with `slopes` [M, Q] along the angles stay above 0."""
    if not isinstance(head, Bottleneck) or not covers(head) or level not in NORMS:
        raise ModelError("no exact function of the angles is known of this head", valid="tanh, fourier, or a circuit")
    decided, weight = decision(head), head.reduce.weight.detach().cpu().double().numpy()
    angles = (values if level == "angles" else head.squeezed(values)).detach().cpu().double().numpy()
    found = []
    for angle, label in zip(angles, map(int, labels), strict=True):
        steep = slopes(decided, label)
        if level == "angles":
            constants = steep.sum(1)
        else:  # d angle <= pi/2 |W_q d|: wire by wire, or all of them at once
            by_wire, at_once = steep @ np.linalg.norm(weight, axis=1), np.linalg.norm(steep, axis=1) * np.linalg.norm(weight, 2)
            constants = np.pi / 2 * np.minimum(by_wire, at_once)
        margins = decided.margins(label)
        left = (margins.at(angle[None])[:, 0] - margins.slack) / constants.clip(1e-300)
        found.append(max(float(left.min()), 0.0))
    return np.array(found)
