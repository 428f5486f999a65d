"""Recall rows: as they are, or answered by the base, once."""

from __future__ import annotations

import pytest

from additive.models.generate import generate
from additive.models.loading import load_model
from additive.train import recall
from additive.train.data import TrainingRow
from additive.train.recall import answer_prompts

PROMPTS = [TrainingRow(f"{n}", None, f"recall:{n}") for n in range(6)]


@pytest.fixture(scope="module")
def model(base):
    return load_model(base)


def test_rows_with_an_answer_stay_as_they_are(model, tokenizer, tmp_path):
    rows = [TrainingRow("a", "b")]
    found = answer_prompts(rows, model, tokenizer, "d", tmp_path)
    assert (found.rows, found.answered, found.unfinished) == ((TrainingRow("a", "b"),), 0, 0)
    assert not list(tmp_path.iterdir())


def test_prompts_are_answered_by_the_base_in_place(model, tokenizer, tmp_path):
    """A random base rarely ends; with any token as its end some answers are whole."""
    model.generation_config.eos_token_id = list(range(60, 160))
    rows = [PROMPTS[0], TrainingRow("a", "b"), *PROMPTS[1:]]
    found = answer_prompts(rows, model, tokenizer, "d", tmp_path, max_tokens=20)
    expected = generate(model, tokenizer, [row.prompt for row in PROMPTS], max_tokens=20)
    answered = {row.prompt: row.completion for row in found.rows}
    assert answered.pop("a") == "b"
    assert found.answered == len(answered)
    assert found.answered + found.unfinished == len(PROMPTS)
    assert answered.items() <= {r.prompt: a for r, a in zip(PROMPTS, expected, strict=True)}.items()
    model.generation_config.eos_token_id = 1


def test_answers_are_kept_by_what_they_depend_on(model, tokenizer, tmp_path, monkeypatch):
    first = answer_prompts(PROMPTS, model, tokenizer, "d", tmp_path, max_tokens=3)
    asked = []
    monkeypatch.setattr(recall, "_answer", lambda rows, *rest: asked.append(rows) or [None] * 6)
    assert answer_prompts(PROMPTS, model, tokenizer, "d", tmp_path, max_tokens=3) == first
    assert not asked
    answer_prompts(PROMPTS, model, tokenizer, "other", tmp_path, max_tokens=3)
    answer_prompts(PROMPTS, model, tokenizer, "d", tmp_path, max_tokens=4)
    assert len(asked) == 2


def test_a_damaged_cache_is_asked_anew(model, tokenizer, tmp_path):
    first = answer_prompts(PROMPTS, model, tokenizer, "d", tmp_path, max_tokens=3)
    (path,) = tmp_path.iterdir()
    path.write_text('["x"')
    assert answer_prompts(PROMPTS, model, tokenizer, "d", tmp_path, max_tokens=3) == first
