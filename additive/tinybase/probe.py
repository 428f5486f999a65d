"""How well the base holds its substrate: whole-answer accuracy of every grammar."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import torch

from additive.tinybase.arithmetic import FACTOR_LIMIT, bare
from additive.tinybase.mixture import MIXTURE
from additive.tinybase.rows import Row

SEED = 31
ROWS = 500
WITHIN = "arithmetic within its tables"
_PRODUCT = re.compile(r"(\d+)\*(\d+)=")


def _exact(model: torch.nn.Module, tokenizer: Any, rows: list[Row]) -> float:
    """Return the share of rows whose every completion token is the most likely one.

    With one right answer this equals greedy exact match, in a single forward pass.
    """
    right = 0
    for row in rows:
        head = tokenizer(f"<|user|>{row.prompt}<|assistant|>").input_ids
        tail = tokenizer(f"{row.completion}<|end|>").input_ids
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([head + tail])).logits[0]
        guesses = logits[len(head) - 1 : -1].argmax(-1).tolist()
        right += guesses == tail
    return right / len(rows)


def probe(directory: Path) -> dict[str, float]:
    """Return the accuracy of the exported base on fresh rows of every grammar with prompts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rng = Random(SEED)
    found: dict[str, float] = {}
    for grammar, _, _ in MIXTURE:
        rows = [grammar(rng) for _ in range(ROWS)]
        if rows[0].prompt:
            found[rows[0].kind] = _exact(model, tokenizer, rows)
    plain = [row for row in (bare(rng) for _ in range(2 * ROWS)) if is_within_tables(row)]
    found[WITHIN] = _exact(model, tokenizer, plain[:ROWS])
    return found


def is_within_tables(row: Row) -> bool:
    """Whether a bare row is a sum, a difference or of the times table; others multiply a digit by a
    weight.

    >>> is_within_tables(Row("arithmetic", "7*8=", "7*8=56"))
    True
    """
    product = _PRODUCT.match(row.completion)
    return product is None or max(map(int, product.groups())) <= FACTOR_LIMIT
