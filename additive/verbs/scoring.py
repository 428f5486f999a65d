"""How a domain is scored while it trains, and how merges are searched: on validation rows only.

Every evaluation asks, teacher-forced, whether the whole answer is what the model would say (equal
to greedy exact match where one answer is accepted). Every few evaluations a part of the rows is
really answered and graded, and recorded beside the curve, so that an answer that is right in other
words is seen as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.train.data import TrainingRow, read_rows
from additive.train.saturation import Evaluation
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel, PreTrainedTokenizerBase
    from additive.train.validation import Score


GENERATE_EVERY = 4


GENERATED_ROWS = 64


MAX_TOKENS = 96


def validation_rows(workspace: Workspace, name: str) -> tuple[TrainingRow, ...]:
    """A domain's validation rows. Raises: SpecError."""
    spec = workspace.domain(name)
    files = workspace.data_files(name, "validation")
    return tuple(row for path in files for row in read_rows(path, spec.data.format).rows)


def validation_score(workspace: Workspace, name: str) -> Score:
    """The score of a domain's training: every row teacher-forced, some really answered at times."""
    from additive.models.loading import load_tokenizer
    from additive.train.validation import completion_score

    spec = workspace.domain(name)
    tokenizer = load_tokenizer(workspace.base_directory())
    rows = validation_rows(workspace, name)
    exact = completion_score(tokenizer, rows, system=spec.system)
    graded = _graded_items(workspace, name, rows)
    every = GENERATE_EVERY * spec.saturation.eval_steps

    def score(model: Any, step: int) -> Evaluation:
        evaluation = exact(model, step)
        if not graded or step % every:
            return evaluation
        share = _answered(model, tokenizer, graded, spec.system)
        return Evaluation(
            evaluation.step,
            evaluation.correct,
            evaluation.losses,
            evaluation.train_loss,
            {f"{name}-generated": share},
        )

    return score


def _graded_items(
    workspace: Workspace, name: str, rows: Sequence[TrainingRow]
) -> tuple[tuple[TrainingRow, Mapping[str, Any]], ...]:
    """Rows that say how they are graded, evenly drawn; code is left to the held-out suites."""
    from additive.graders import KINDS

    items = [
        (row, item)
        for row, item in zip(rows, _items(workspace.data_files(name, "validation")), strict=True)
        if item.get("grader") in KINDS and item["grader"] != "code"
    ]
    stride = max(1, len(items) // GENERATED_ROWS)
    return tuple(items[::stride][:GENERATED_ROWS])


def _items(paths: Sequence[Path]) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in paths
        for line in path.read_text(encoding="utf-8-sig").split("\n")
        if line.strip()
    ]


def _answered(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[TrainingRow, Mapping[str, Any]]],
    system: str | None,
) -> float:
    from additive.graders import GradingRequest, grade_all
    from additive.models.generate import generate

    training = model.training
    model.eval()
    answers = generate(
        model, tokenizer, [row.prompt for row, _ in items], MAX_TOKENS, system=system
    )
    model.train(training)
    asked = [
        GradingRequest(str(item["grader"]), item, answer)
        for (_, item), answer in zip(items, answers, strict=True)
    ]
    return sum(grade.score for grade in grade_all(asked)) / len(asked)
