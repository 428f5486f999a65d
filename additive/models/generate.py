"""Greedy answers in batches: the likeliest token at every step, until the end of turn.

Prompts of like length share a batch, padded on the left; answered rows leave it, so that one long
answer does not make the others wait. The same prompts with the same batch size give the same
answers.

Sequences into batches: alike in length, padded on the left, back in the order they came.

Left padding puts the last token of every prompt, and of every answer, into the same column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError
from additive.models.template import Prompt, pad_id, prompt_ids, stop_ids

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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


_SHRINK_BELOW = 0.75


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    max_tokens: int,
    batch: int = 64,
    system: str | None = None,
) -> list[str]:
    """The model's answers, in the order of the prompts.

    Args: max_tokens is the longest answer, in tokens; an answer that long is cut off there.
    """
    ids = [prompt_ids(tokenizer, prompt, system) for prompt in prompts]
    answers = generate_ids(
        model, ids, max_tokens, stop_ids(tokenizer, model), pad_id(tokenizer), batch
    )
    return tokenizer.batch_decode(answers, skip_special_tokens=True) if answers else []


def generate_ids(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    stops: Sequence[int],
    pad: int,
    batch: int = 64,
    shrink: bool = True,
) -> list[list[int]]:
    """The answers as ids, without the stop token, in the order of the prompts.

    Args: shrink lets answered rows leave their batch, which is faster. Without it the composition
    of every batch depends on the prompts alone; below fp32 that may change an answer.
    """
    import torch

    check_ids(model, prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        for rows in length_sorted_batches([len(ids) for ids in prompts], batch):
            chosen = [prompts[row] for row in rows]
            found = _answer_batch(model, chosen, max_tokens, stops, pad, shrink)
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
    return answers


def check_ids(model: PreTrainedModel | PeftModel, rows: Iterable[Sequence[int]]) -> None:
    """Raises: CompatibilityError for a token that the model's embedding has no row for."""
    embedding: Any = model.get_input_embeddings()
    known = int(embedding.weight.shape[0])
    highest = max((max(row) for row in rows if row), default=0)
    if highest >= known:
        raise CompatibilityError(
            f"a text has the token {highest}; the embedding has {known} rows",
            help="the tokenizer has tokens that the model does not: leave them out of rows and"
            " questions, or use a base whose embedding has them",
        )


def _answer_batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    stops: Sequence[int],
    pad: int,
    shrink: bool,
) -> list[list[int]]:
    import torch

    ids, mask, positions = left_padded(prompts, pad, model.device)
    stop = torch.tensor(list(stops), device=ids.device)
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    known, cache = _arguments(model), None
    recurrent = "cache_params" in known and "past_key_values" not in known
    memory = "cache_params" if recurrent else "past_key_values"
    for _ in range(max_tokens):
        output = model(
            input_ids=ids,
            # A state has read the padding already; one token more is nothing to mask.
            attention_mask=None if recurrent and cache is not None else mask,
            position_ids=positions,
            use_cache=True,
            **{memory: cache},
            **({"logits_to_keep": 1} if "logits_to_keep" in known else {}),
        )
        cache, token = output[memory], output.logits[:, -1].argmax(dim=-1)
        ended = torch.isin(token, stop)
        for row, value, end in zip(alive, token.tolist(), ended.tolist(), strict=True):
            if row >= 0 and not end:
                answers[row].append(value)
        alive = [-1 if end else row for row, end in zip(alive, ended.tolist(), strict=True)]
        left = [place for place, row in enumerate(alive) if row >= 0]
        if not left:
            break
        ids, positions = token[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
        if shrink and len(left) < _SHRINK_BELOW * len(alive):
            keep = torch.tensor(left, device=ids.device)
            cache.reorder_cache(keep)
            ids, positions, mask, alive = (
                ids[keep],
                positions[keep],
                mask[keep],
                [alive[place] for place in left],
            )
    return answers


def _arguments(model: PreTrainedModel) -> Collection[str]:
    """What the model can be told, looked up below an adapter; a state-space model has
    `cache_params`."""
    import inspect

    below: Any = getattr(model, "get_base_model", None)
    inner = below() if below is not None else model
    return inspect.signature(type(inner).forward).parameters
