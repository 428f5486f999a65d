"""The usual `score`: validation answers, teacher-forced, encoded once for the whole run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from additive.models.score import score_encoded
from additive.models.template import encode, pad_id
from additive.train.data import TrainingRow
from additive.train.saturation import Evaluation

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Score = Callable[["PreTrainedModel | PeftModel", int], Evaluation]


def completion_score(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[TrainingRow],
    batch: int = 64,
    system: str | None = None,
) -> Score:
    """A score that asks whether each row's whole answer is what the model would say.

    One forward pass per item; equal to greedy exact match where one answer is accepted.
    """
    examples = encode(
        tokenizer, [r.prompt for r in rows], [r.completion or "" for r in rows], system
    )
    pad = pad_id(tokenizer)

    def score(model: PreTrainedModel | PeftModel, step: int) -> Evaluation:
        exact, losses = score_encoded(model, examples, pad, batch)
        return Evaluation(step, tuple(float(value) for value in exact), tuple(losses))

    return score
