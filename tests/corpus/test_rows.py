"""Rows and questions as people keep them: read as they are meant, or refused by line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from additive.adopt.questions import read_questions
from additive.errors import SpecError
from additive.train.data import read_rows

HERE = Path(__file__).parent


def cases(name):
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]


def write(path, case):
    text = case.get("raw") or "\n".join(map(json.dumps, case["rows"]))
    path.write_text(text + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("case", cases("rows.jsonl"), ids=lambda case: case["source"])
def test_training_rows(case, tmp_path):
    path = write(tmp_path / "train.jsonl", case)
    if "fault" in case:
        with pytest.raises(SpecError) as caught:
            read_rows(path)
        assert case["fault"] in str(caught.value)
        return
    (row,) = read_rows(path).rows
    assert row.record() == {"prompt": case["prompt"], "completion": case["completion"]}


@pytest.mark.parametrize("case", cases("questions.jsonl"), ids=lambda case: case["source"])
def test_questions(case, tmp_path):
    path = write(tmp_path / "questions.jsonl", case)
    if "fault" in case:
        with pytest.raises(SpecError) as caught:
            read_questions(path)
        assert case["fault"] in str(caught.value)
        return
    (row,) = read_questions(path).rows
    assert (row.fields["prompt"], row.fields["answer"]) == (case["prompt"], case["answer"])
    assert not {"system", "history", "tools"} & row.fields.keys()
