"""Recall rows: the base's own skills, mixed into a domain so that its delta stays quiet elsewhere.

Rows with an answer are trained as they are. Prompts alone are answered by the base, greedily and
once: the answers are kept in a cache under a digest of the base, the template and the prompts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from additive.models.generate import generate_ids
from additive.models.template import pad_id, prompt_ids, stop_ids
from additive.train.data import TrainingRow, rows_digest
from additive.types.digests import Digest, digest_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Recall:
    """Recall rows that all have an answer; `unfinished` prompts got none within the limit."""

    rows: tuple[TrainingRow, ...]
    answered: int
    unfinished: int


def answer_prompts(
    rows: Sequence[TrainingRow],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    base_digest: Digest,
    cache: Path,
    *,
    max_tokens: int = 256,
    system: str | None = None,
) -> Recall:
    """The rows with every answer filled in; those the base does not finish are left out, counted.

    Args: cache is a directory; max_tokens is the longest answer that is waited for.
    """
    asked = [row for row in rows if row.completion is None]
    if not asked:
        return Recall(tuple(rows), 0, 0)
    key = digest_json(
        [base_digest, tokenizer.chat_template, rows_digest(asked), max_tokens, system or ""]
    )
    path = cache / f"recall-{key}.json"
    answers = _read(path, len(asked))
    if answers is None:
        answers = _answer(asked, model, tokenizer, max_tokens, system)
        _write(path, answers)
    given = iter(answers)
    filled = [
        row if row.completion is not None else TrainingRow(row.prompt, next(given), row.where)
        for row in rows
    ]
    unfinished = sum(answer is None for answer in answers)
    kept = tuple(row for row in filled if row.completion)
    return Recall(kept, len(asked) - unfinished, unfinished)


def _answer(
    rows: Sequence[TrainingRow],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    system: str | None,
) -> list[str | None]:
    ids = [prompt_ids(tokenizer, row.prompt, system) for row in rows]
    stops = stop_ids(tokenizer, model)
    found = generate_ids(model, ids, max_tokens, stops, pad_id(tokenizer))
    texts = tokenizer.batch_decode(found, skip_special_tokens=True)
    return [
        text if len(answer) < max_tokens and text.strip() else None
        for text, answer in zip(texts, found, strict=True)
    ]


def _read(path: Path, count: int) -> list[str | None] | None:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return answers if isinstance(answers, list) and len(answers) == count else None


def _write(path: Path, answers: list[str | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)
