"""The validation score of a domain: teacher-forced on every row, and graded answers on some.

Every evaluation asks, teacher-forced, whether the whole answer is what the model would say (equal
to greedy exact match where one answer is accepted). At every fourth evaluation of a training the
model also generates answers to up to 64 rows, which their graders score. That score is recorded
beside the curve, so that an answer which is right in other words is seen as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.graders import KINDS, GradingRequest, grade_all
from additive.models.generate import generate
from additive.models.score import score_encoded
from additive.models.template import encode, pad_id
from additive.spec.domain import DomainSpec
from additive.train.data import TrainingRow
from additive.train.saturation import Evaluation

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Score = Callable[["PreTrainedModel | PeftModel", int], Evaluation]
"""Evaluates a model at a step of its training."""


GENERATE_EVERY = 4
"""Evaluations from one generation to the next."""


GENERATED_ROWS = 64


MAX_TOKENS = 96


def completion_score(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[TrainingRow],
    batch: int = 64,
    system: str | None = None,
) -> Score:
    """A score that asks whether each row's whole answer is what the model would say.

    The rows are encoded once for the whole run; an evaluation is one forward pass per row.
    """
    examples = encode(
        tokenizer, [r.prompt for r in rows], [r.completion or "" for r in rows], system
    )
    pad = pad_id(tokenizer)

    def score(model: PreTrainedModel | PeftModel, step: int) -> Evaluation:
        exact, losses = score_encoded(model, examples, pad, batch)
        return Evaluation(step, tuple(float(value) for value in exact), tuple(losses))

    return score


def training_score(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[TrainingRow],
    files: Sequence[Path],
    spec: DomainSpec,
) -> Score:
    """The score of a domain while it trains: `completion_score`, and generated answers at times.

    rows   of the domain's validation files, in order
    files  the validation files themselves, whose rows may name a grader
    """
    exact = completion_score(tokenizer, rows, system=spec.system)
    own = spec.grader if "grader" in spec.model_fields_set else None
    graded = _graded_rows(rows, files, own)
    every = GENERATE_EVERY * spec.saturation.eval_steps

    def score(model: PreTrainedModel | PeftModel, step: int) -> Evaluation:
        evaluation = exact(model, step)
        if not graded or step % every:
            return evaluation
        share = _generated_score(model, tokenizer, graded, spec.system)
        return replace(evaluation, also={f"{spec.name}-generated": share})

    return score


def _graded_rows(
    rows: Sequence[TrainingRow], files: Sequence[Path], grader: str | None
) -> tuple[tuple[TrainingRow, Mapping[str, Any]], ...]:
    """Rows that can be graded, evenly drawn; code is left to the held-out suites.

    grader  the domain's, for rows that have an `answer` and name no grader
    """
    records = [
        json.loads(line)
        for path in files
        for line in path.read_text(encoding="utf-8-sig").split("\n")
        if line.strip()
    ]
    if grader is not None:
        records = [
            {"grader": grader, **record} if "answer" in record else record for record in records
        ]
    graded = [
        (row, record)
        for row, record in zip(rows, records, strict=True)
        if record.get("grader") in KINDS and record["grader"] != "code"
    ]
    stride = max(1, len(graded) // GENERATED_ROWS)
    return tuple(graded[::stride][:GENERATED_ROWS])


def _generated_score(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    graded: Sequence[tuple[TrainingRow, Mapping[str, Any]]],
    system: str | None,
) -> float:
    training = model.training
    model.eval()
    prompts = [row.prompt for row, _ in graded]
    answers = generate(model, tokenizer, prompts, MAX_TOKENS, system=system)
    model.train(training)
    requests = [
        GradingRequest(str(record["grader"]), record, answer)
        for (_, record), answer in zip(graded, answers, strict=True)
    ]
    return sum(grade.score for grade in grade_all(requests)) / len(requests)
