"""Greedy answers in batches: the likeliest token at every step, until the end of turn.

Prompts of like length share a batch, padded on the left; answered rows leave it, so that one long
answer does not make the others wait. The same prompts with the same batch size give the same
answers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from additive.models.batching import left_padded, length_sorted_batches
from additive.models.template import Prompt, pad_id, prompt_ids, stop_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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

    answers: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        for rows in length_sorted_batches([len(ids) for ids in prompts], batch):
            chosen = [prompts[row] for row in rows]
            found = _answer_batch(model, chosen, max_tokens, stops, pad, shrink)
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
    return answers


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
