"""Whole answers scored without generating: one forward pass over prompt and answer.

An answer is exact when every one of its tokens, the end of turn included, is the likeliest one
given the right tokens before it; that is the same as greedy decoding giving exactly this answer.
The loss of an answer is the mean of −log p(token) over its tokens, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from additive.models.generate import check_ids, left_padded, length_sorted_batches
from additive.models.template import Encoded, Prompt, encode, pad_id

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_MAX_LOGITS = 1 << 26  # numbers in one batch's logits: 256 MiB in fp32


def teacher_forced(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    completions: Sequence[str],
    batch: int = 64,
    system: str | None = None,
) -> tuple[list[bool], list[float]]:
    """Whether each answer is what greedy decoding would give, and its loss in nats per token, in
    input order."""
    examples = encode(tokenizer, prompts, completions, system)
    return score_encoded(model, examples, pad_id(tokenizer), batch)


def score_encoded(
    model: PreTrainedModel | PeftModel, examples: Sequence[Encoded], pad: int, batch: int = 64
) -> tuple[list[bool], list[float]]:
    """As `teacher_forced`, for examples that are ids already.

    What the model has no room for is wrong, at the loss of a blind guess, log(vocabulary).
    """
    import torch

    check_ids(model, [example.ids for example in examples])
    config = model.config.get_text_config()
    vocabulary, room = int(config.vocab_size), getattr(config, "max_position_embeddings", None)
    exact, loss = [False] * len(examples), [math.log(vocabulary)] * len(examples)
    fitting = [i for i, example in enumerate(examples) if room is None or len(example) <= room]
    training = model.training
    model.eval()
    with torch.inference_mode():
        for places in _batches([examples[i] for i in fitting], batch, vocabulary):
            rows = [fitting[place] for place in places]
            right, losses = _score_batch(model, [examples[row] for row in rows], pad)
            for row, is_right, value in zip(rows, right, losses, strict=True):
                exact[row], loss[row] = is_right, value
    model.train(training)
    return exact, loss


def _batches(examples: Sequence[Encoded], batch: int, vocabulary: int) -> list[list[int]]:
    longest = max((len(example.completion) for example in examples), default=1)
    rows = max(1, min(batch, _MAX_LOGITS // (vocabulary * (longest + 1))))
    return length_sorted_batches([len(example) for example in examples], rows)


def _score_batch(
    model: PreTrainedModel | PeftModel, examples: Sequence[Encoded], pad: int
) -> tuple[list[bool], list[float]]:
    import torch

    longest = max(len(example.completion) for example in examples)
    ids, mask, positions = left_padded([example.ids for example in examples], pad, model.device)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits[:, -longest - 1 : -1]
    targets = ids[:, -longest:]
    counts = torch.tensor([len(example.completion) for example in examples], device=ids.device)
    inside = torch.arange(longest, device=ids.device)[None] >= longest - counts[:, None]
    right = ((logits.argmax(dim=-1) == targets) | ~inside).all(dim=1)
    return right.tolist(), _mean_loss(logits, targets, inside).tolist()


def _mean_loss(logits: torch.Tensor, targets: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Mean −log p of the targets inside, per row; logits [rows, width, vocabulary], fp32 whatever
    they came in."""
    import torch

    losses = torch.nn.functional.cross_entropy(
        logits.float().transpose(1, 2), targets, reduction="none"
    )
    return (losses * inside).sum(dim=1) / inside.sum(dim=1)
