"""Sequences into batches: alike in length, padded on the left, back in the order they came.

Left padding puts the last token of every prompt, and of every answer, into the same column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def length_sorted_batches(lengths: Sequence[int], batch: int) -> list[list[int]]:
    """Positions cut into batches of at most `batch`, longest first; ties keep their order.

    The longest batch comes first so that a batch too big for the memory fails at once.

    >>> length_sorted_batches([3, 9, 4], 2)
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def left_padded(
    sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and position ids of one batch, each int64 of shape [rows, longest].

    Positions count from 0 at the first real token; padding has position 0, where the mask hides it.
    """
    import torch

    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.int64)
        mask[row, width - len(sequence) :] = 1
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return ids.to(device), mask.to(device), positions.to(device)
