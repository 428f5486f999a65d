"""The best approximation of a delta by a given rank (Eckart and Young, 1936)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense, Experts, LowRank, matrix_shape


@dataclass(frozen=True, eq=False)
class Compressed:
    """A delta cut to a rank, stacked experts each to that rank; `energy` is the share of ‖Δ‖² that
    is left, [0, 1].
    """

    delta: LowRank | Experts
    energy: float


def compress(delta: Delta, rank: int) -> Compressed:
    """Keep the `rank` largest singular values; B = U·√σ and A = √σ·Vᵀ, so that both are of like
    size.

    Of factors this is R×R algebra after two QR decompositions, of anything else one dense singular
    value decomposition, both in float64.

    >>> compress(LowRank(torch.eye(3), torch.diag(torch.tensor([2.0, 1.0, 0.0]))), 1).energy
    0.8
    """
    if len(delta.shape) == 3:
        return _each_expert(delta, rank)
    low, kept, total = _cut(delta, rank)
    return Compressed(low, min(kept / total, 1.0) if total > 0 else 1.0)


def _cut(delta: Delta, rank: int) -> tuple[LowRank, float, float]:
    """The best factors of that rank, ‖·‖² of them and of the whole."""
    U, sigma, V = _triples(delta)
    total = sigma.square().sum().item()
    kept = max(1, min(rank, sigma.numel()))
    root = sigma[:kept].sqrt()
    B, A = (U[:, :kept] * root).float(), (V[:, :kept] * root).T.float().contiguous()
    return LowRank(B, A), sigma[:kept].square().sum().item(), total


def _each_expert(delta: Delta, rank: int) -> Compressed:
    experts = (
        [delta.expert(index) for index in range(delta.shape[0])]
        if isinstance(delta, Experts)
        else [Dense(matrix) for matrix in delta.dense()]
    )
    cut = [_cut(expert, rank) for expert in experts]
    kept, total = sum(each[1] for each in cut), sum(each[2] for each in cut)
    stacked = Experts(torch.stack([low.B for low, _, _ in cut]),
                      torch.stack([low.A for low, _, _ in cut]))  # fmt: skip
    return Compressed(stacked, min(kept / total, 1.0) if total > 0 else 1.0)


def _triples(delta: Delta) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(delta, LowRank):
        left, upper_B = torch.linalg.qr(delta.B.double() * delta.scale)
        right, upper_A = torch.linalg.qr(delta.A.double().T)
        U, sigma, Vh = torch.linalg.svd(upper_B @ upper_A.T, full_matrices=False)
        return left @ U, sigma, right @ Vh.T
    matrix = delta.dense().double().reshape(matrix_shape(tuple(delta.shape)))
    U, sigma, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U, sigma, Vh.T


def energy_kept(
    norms: Mapping[str, float], energy: Mapping[str, float], layers: Mapping[str, tuple[int, int]]
) -> str:
    """The share of ‖Δ‖² that is left: over all, by layer, and where it is least.

    norms   of what was kept, by parameter
    energy  its share of the whole, by parameter
    layers  (index, number of layers) of the parameters that lie in one

    >>> energy_kept({"h.0.up": 1.0, "h.1.up": 1.0}, {"h.0.up": 0.5, "h.1.up": 1.0},
    ...             {"h.0.up": (0, 2), "h.1.up": (1, 2)})
    'keeps 66.7% of ‖Δ‖² (by layer: 0 50.0%, 1 100.0%), least in h.0.up: 50.0%'
    """
    names: dict[str, list[str]] = {}
    for name in energy:
        names.setdefault(str(layers[name][0]) if name in layers else "outside", []).append(name)
    order = sorted(names, key=lambda layer: (not layer.isdigit(), layer.zfill(6)))
    said = ", ".join(f"{layer} {_share(names[layer], norms, energy):.1%}" for layer in order)
    least = min(energy, key=energy.__getitem__)
    whole = _share(list(energy), norms, energy)
    return f"keeps {whole:.1%} of ‖Δ‖² (by layer: {said}), least in {least}: {energy[least]:.1%}"


def _share(names: Sequence[str], norms: Mapping[str, float], energy: Mapping[str, float]) -> float:
    kept = sum(norms[name] ** 2 for name in names)
    whole = sum(norms[name] ** 2 / energy[name] for name in names if energy[name])
    return kept / whole if whole else 1.0
