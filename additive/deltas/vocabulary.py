"""Padded vocabularies: an embedding or a head with another number of rows than the base's.

Model makers and trainers pad the rows for tokens to round numbers, each to their own, so that one
tokenizer has checkpoints of several sizes. A row belongs to one token: rows that both have mean the
same, rows that one lacks were never trained there. So sizes can be made equal without a guess,
once somebody has said which way:

`trim`    the fewest rows that base and sources have; no token of the base's tokenizer may be lost
`extend`  the most; a row that the base lacks starts at zero, one that a source lacks stays as it is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.names import find, whole_name
from additive.tensors.reader import open_checkpoint, open_file

CHOICES = ("same", "trim", "extend")


def with_vocabulary(base: Base, choice: str, directories: Sequence[Path]) -> Base:
    """The base as `trim` or `extend` see it; itself for `same`, or where all sizes are alike."""
    own = base.vocabulary_rows()
    if choice == "same" or own is None:
        return base
    sizes = {own}.union(*(source_rows(directory, base) for directory in directories))
    rows = min(sizes) if choice == "trim" else max(sizes)
    return base if sizes == {own} else replace(base, rows=rows)


def resized_notes(base: Base) -> tuple[str, ...]:
    """What is done to the rows, in words; nothing where all sizes are alike."""
    if base.rows is None:
        return ()
    return (
        f"embedding and head get {base.rows} rows where the base has {base.vocabulary_rows()};"
        " rows that nobody trained are the base's, or zero where it has none",
    )


def source_rows(directory: Path, base: Base) -> set[int]:
    """The numbers of rows of a source's own embeddings and heads; from headers."""
    adapter = (directory / "adapter_config.json").exists()
    opened = (
        open_file(directory / "adapter_model.safetensors")
        if adapter
        else open_checkpoint(directory)
    )
    with opened as checkpoint:
        shapes = {name: checkpoint.info(name).shape for name in checkpoint.names()}
    found = set()
    for own, shape in shapes.items():
        short = whole_name(own)
        if short.endswith((".weight", ".bias")) and "lora_" not in short:
            name = find(short, base)
            if name and base.is_vocabulary(name) and shape[1:] == base.shape(name)[1:]:
                found.add(shape[0])
    return found


def with_new_rows(copy: Tensor, name: str, base: Base) -> Tensor:
    """The base's embedding with the rows beyond its own from an adapter's copy of it."""
    own, start = base.checkpoint.info(base.stored(name)).shape[0], base.tensor(name)
    rows = min(len(copy), len(start))
    if rows <= own:
        return start
    return torch.cat([start[:own].to(torch.float32), copy[own:rows].float(), start[rows:].float()])


def fitted(tensor: Tensor, name: str, base: Base) -> Tensor:
    """A source's tensor with as many rows as the base has: cut, or filled up with the base's."""
    if base.rows is None or not base.is_vocabulary(name):
        return tensor
    missing = base.tensor(name)[len(tensor) :]
    return torch.cat([tensor, missing]) if len(missing) else tensor[: base.rows]
