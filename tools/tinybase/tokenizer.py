"""Text to token ids: the tokenizer, and rows packed into batches of one fixed shape.

The tokenizer has whole words after a space, single digits, single letters inside literals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from tools.tinybase.rows import Row

PAD, USER, ASSISTANT, SYSTEM, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
SPECIAL = (PAD, END, USER, ASSISTANT, SYSTEM)
VOCABULARY = 1280
# Letters of string literals must be single tokens: only words after a space, capitalised words
# and the names of Python are kept whole.
PYTHON = "sorted|return|print|upper|count|len|sum|max|min|abs|def|True|False"
PIECES = f"{PYTHON}| ?[A-Z][a-z]+| [a-z]+|[A-Za-z]|[0-9]|[^A-Za-z0-9]"
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}<|end|>"
    "{% elif message['role'] == 'system' %}<|system|>{{ message['content'] }}"
    "{% else %}<|user|>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train the byte-level BPE on ``texts``; digits and literals stay single symbols."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write the tokenizer as transformers loads it, with its chat template."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM],
        model_max_length=256,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(directory)


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
