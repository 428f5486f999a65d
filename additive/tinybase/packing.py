"""Rows to token ids with a loss mask, and rows packed into blocks of one fixed length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import cast

import torch
from tokenizers import Tokenizer
from torch import Tensor

from additive.tinybase.rows import Row
from additive.tinybase.tokenizer import ASSISTANT, END, PAD, SYSTEM, USER

SYSTEMS = ("You are a helpful assistant.", "Answer briefly.", "Be short and clear.")
SYSTEM_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Batch:
    """Packs [B, T] with row numbers, and the flat positions whose next token is wanted."""

    ids: Tensor
    rows: Tensor
    where: Tensor
    wanted: Tensor
    counted: Tensor


def render(row: Row, rng: Random) -> tuple[str, str]:
    """Return the text before and the text under the loss; prose is wholly under the loss."""
    if not row.prompt:
        return ASSISTANT, row.completion + END
    system = f"{SYSTEM}{rng.choice(SYSTEMS)}" if rng.random() < SYSTEM_SHARE else ""
    return f"{system}{USER}{row.prompt}{ASSISTANT}", row.completion + END


class Packer:
    """Turns a stream of rows into batches of one static shape, so that compiled code is reused."""

    def __init__(self, tokenizer: Tokenizer, source: Iterator[Row], seed: int, packs: int,
                 length: int, share: float = 0.42) -> None:  # fmt: skip
        self.tokenizer, self.source, self.rng = tokenizer, source, Random(seed)
        self.packs, self.length = packs, length
        self.wanted = int(packs * length * share)
        self.pad = cast(int, tokenizer.token_to_id(PAD))  # every tokenizer of ours has it

    def _encoded(self, count: int) -> list[tuple[list[int], int]]:
        pairs = [render(next(self.source), self.rng) for _ in range(count)]
        heads = self.tokenizer.encode_batch_fast([head for head, _ in pairs])
        tails = self.tokenizer.encode_batch_fast([tail for _, tail in pairs])
        return [(h.ids + t.ids, len(h.ids)) for h, t in zip(heads, tails, strict=True)]

    def batch(self) -> Batch:
        """Return the next batch: longest rows first into the fullest pack that still has room."""
        space = [self.length] * self.packs
        packs: list[list[tuple[list[int], int]]] = [[] for _ in range(self.packs)]
        rows = self._encoded(int(self.packs * self.length / 29))
        for ids, head in sorted(rows, key=lambda row: -len(row[0])):
            fits = [i for i in range(self.packs) if space[i] >= len(ids)]
            if fits:
                best = min(fits, key=space.__getitem__)
                packs[best].append((ids, head))
                space[best] -= len(ids)
        return self._tensors(packs)

    def _tensors(self, packs: list[list[tuple[list[int], int]]]) -> Batch:
        ids = torch.full((self.packs, self.length), self.pad)
        rows = torch.zeros_like(ids)
        where: list[int] = []
        for i, pack in enumerate(packs):
            at = 0
            for number, (tokens, head) in enumerate(pack, 1):
                ids[i, at : at + len(tokens)] = torch.tensor(tokens)
                rows[i, at : at + len(tokens)] = number
                start = i * self.length + at
                where += range(start + head - 1, start + len(tokens) - 1)
                at += len(tokens)
        where = where[: self.wanted]
        counted = torch.zeros(self.wanted)
        counted[: len(where)] = 1.0
        positions = torch.tensor(where + [0] * (self.wanted - len(where)))
        return Batch(ids, rows, positions, ids.view(-1)[positions + 1], counted)
