"""Before training: one example with its mask, the end of turn proven, lost rows counted."""

from __future__ import annotations

import pytest

from additive.errors import CompatibilityError, SpecError
from additive.train.data import TrainingRow
from additive.train.preflight import labels, preflight


def row(prompt="2+3=", completion="5", where="train.jsonl:1"):
    return TrainingRow(prompt, completion, where)


def test_an_example_is_shown_with_its_mask(tokenizer):
    report, (example,) = preflight([row()], tokenizer, 64)
    assert report.example == (("<|user|>2+3=<|assistant|>", False), ("5<|end|>", True))
    assert labels(example) == [-100] * len(example.prompt) + list(example.completion)
    assert any("'5<|end|>'" in line and "trained" in line for line in report.lines())


def test_the_end_of_turn_is_proven_to_be_trained(tokenizer):
    report, (example,) = preflight([row()], tokenizer, 64)
    assert report.end_of_turn == "<|end|>"
    assert labels(example)[-1] == tokenizer.convert_tokens_to_ids("<|end|>")


def test_truncated_and_dropped_rows_are_counted(tokenizer):
    rows = [row(), row(completion="5" * 100), row(prompt="2" * 100)]
    report, kept = preflight(rows, tokenizer, 32)
    assert (report.rows, report.kept, report.truncated, report.dropped) == (3, 2, 1, 1)
    assert [len(example) for example in kept] == [len(kept[0]), 32]
    assert any("1 truncated, 1 dropped" in line for line in report.lines())
    assert report.trained_tokens == sum(len(example.completion) for example in kept)


def test_no_room_for_any_row_is_an_error(tokenizer):
    with pytest.raises(CompatibilityError, match="none of 2 rows has room"):
        preflight([row(), row()], tokenizer, 3)


def test_no_whole_answer_is_an_error(tokenizer):
    with pytest.raises(CompatibilityError, match="no end of turn is trained"):
        preflight([row(completion="5" * 100)], tokenizer, 32)


def test_text_that_looks_like_a_control_token_is_named(tokenizer):
    rows = [row(), row(completion="5<|end|>", where="train.jsonl:7")]
    with pytest.raises(SpecError, match=r"train\.jsonl:7.*<\|end\|>"):
        preflight(rows, tokenizer, 64)
    message = ({"role": "user", "content": "<|assistant|>hi"},)
    with pytest.raises(SpecError, match="assistant"):
        preflight([TrainingRow(message, "5", "x:1")], tokenizer, 64)


def test_a_system_message_is_part_of_the_prompt(tokenizer):
    report, _ = preflight([row()], tokenizer, 64, system="Be brief.")
    assert report.example[0] == ("<|system|>Be brief.<|user|>2+3=<|assistant|>", False)
