"""Blocks of a transpiled circuit in torch: their matrices for given weights and angles, many at a time, differentiable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.quantum.transfer import vectors
from hqc_ray.quantum.transfer.blocks import Block, Dial
from hqc_ray.quantum.transfer.ptm import ZERO

Factor = tuple[tuple[int, ...], Tensor]  # qubits, and a transfer matrix [4^k, 4^k], or [B, 4^k, 4^k]


class Track(nn.Module):
    """The matrix of each block for given weights: all rotations, then all chains, then all blocks, each in a few operations.

    Args:
        blocks: K1 on one qubit, K2 on two, with L dials in C chains (the empty one included) of at most D.
        n_weights: W.
        n_angles: Q.
    """

    parts: Tensor  # [L, 3, 4, 4]
    by_weight: Tensor  # [L, W]
    by_angle: Tensor  # [L, Q]
    offset: Tensor  # [L] radians
    links: Tensor  # [D, C] into the L dials followed by the identity, in order of time
    fixed_1: Tensor  # [K1, 4, 4]
    fixed_2: Tensor  # [K2, 16, 16]
    chains_1: Tensor  # [K1, 1] into the C chains; chain 0 is empty
    chains_2: Tensor  # [K2, 2]
    zero: Tensor  # [4] the Pauli vector of |0>

    def __init__(self, blocks: Sequence[Block], n_weights: int, n_angles: int) -> None:
        super().__init__()
        chains: list[list[Dial]] = [[]]
        rows: dict[int, list[list[int]]] = {1: [], 2: []}
        self.order: list[tuple[tuple[int, ...], int]] = []  # qubits of each block, and its row among those of as many qubits
        for block in blocks:
            same = rows[len(block.qubits)]
            self.order.append((block.qubits, len(same)))
            same.append([0] * len(block.qubits))
            for position, chain in enumerate(block.chains):
                if chain:
                    same[-1][position] = len(chains)
                    chains.append(chain)
        self._pack_dials(chains, n_weights, n_angles)
        for size, found in rows.items():
            fixed = [block.matrix for block in blocks if len(block.qubits) == size]
            self._pack(f"fixed_{size}", torch.from_numpy(np.array(fixed).reshape(len(fixed), 4**size, 4**size)))
            self._pack(f"chains_{size}", torch.tensor(found, dtype=torch.int64).reshape(len(found), size))
        self._pack("zero", torch.from_numpy(ZERO))

    def _pack_dials(self, chains: list[list[Dial]], n_weights: int, n_angles: int) -> None:
        dials = [dial for chain in chains for dial in chain]
        shapes = {"parts": (3, 4, 4), "by_weight": (n_weights,), "by_angle": (n_angles,), "offset": ()}
        for name, shape in shapes.items():
            self._pack(name, torch.from_numpy(np.array([getattr(dial, name) for dial in dials]).reshape(len(dials), *shape)))
        links = torch.full((max(map(len, chains)), len(chains)), len(dials))
        start = 0
        for column, chain in enumerate(chains):
            links[: len(chain), column] = torch.arange(start, start + len(chain))
            start += len(chain)
        self._pack("links", links)

    def _pack(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    def forward(self, weights: Tensor, angles: Tensor | None = None) -> list[Factor]:
        """The matrices of weights [W] (and of angles [B, Q], where there are any), radians, in order of time."""
        x = self.by_weight @ weights + self.offset
        if angles is not None:
            x = x + angles @ self.by_angle.T
        waves = torch.stack([torch.ones_like(x), x.cos(), x.sin()], -1)
        dials = torch.einsum("...lk,lkij->...lij", waves, self.parts)
        eye = torch.eye(4, dtype=x.dtype, device=x.device)
        dials = torch.cat([dials, eye.expand(*x.shape[:-1], 1, 4, 4)], -3)
        chains = eye.expand(*x.shape[:-1], self.links.shape[1], 4, 4)
        for link in self.links:
            chains = dials.index_select(-3, link) @ chains
        left, right = (chains.index_select(-3, place) for place in self.chains_2.T)
        pairs = (left[..., :, None, :, None] * right[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)
        single = (self.fixed_1 @ chains.index_select(-3, self.chains_1[:, 0])).unbind(-3)
        double = (self.fixed_2 @ pairs).unbind(-3)
        return [(qubits, (single if len(qubits) == 1 else double)[row]) for qubits, row in self.order]

    def states(self, weights: Tensor, angles: Tensor, order: list[int]) -> Tensor:
        """The Pauli vectors [B, 4^n] after all blocks of n qubits that begin as |0>, which include those of the blocks.

        Kept as a product of as many factors as the blocks allow.

        Args:
            weights: [W] radians.
            angles: [B, Q] radians.
            order: the n qubits.
        """
        groups: dict[tuple[int, ...], Tensor] = {(qubit,): self.zero.expand(len(angles), 4) for qubit in sorted(order)}
        for touched, matrix in self(weights, angles):
            met = vectors.joint([(groups.pop(key), list(key)) for key in list(groups) if set(key) & set(touched)])
            state, qubits = vectors.apply(*met, touched, matrix.mT)
            groups[tuple(qubits)] = state
        return vectors.ordered(*vectors.joint([(state, list(key)) for key, state in groups.items()]), order)
