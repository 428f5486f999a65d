"""Questions are read as people write them; the grader is chosen by all rows and says why."""

from __future__ import annotations

import json

import pytest

from additive.adopt import read_questions
from additive.errors import SpecError


def _read(tmp_path, *rows, **how):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(path, **how)


@pytest.mark.parametrize(
    ("rows", "grader", "why"),
    [
        (
            [{"prompt": "6*7=", "answer": 42}, {"prompt": "1+1=", "answer": "2"}],
            "numeric",
            "number",
        ),
        ([{"question": "q", "answer": "2*3=6\n#### 6"}], "numeric", "number"),
        (
            [{"prompt": "p", "answer": "[1, 2]"}, {"prompt": "q", "answer": "'a'"}],
            "literal",
            "value",
        ),
        ([{"prompt": "p", "answer": 1}, {"prompt": "q", "answer": "Paris"}], "exact", "text"),
        ([{"instruction": "i", "input": "x", "output": "done"}], "exact", "text"),
        ([{"prompt": "p", "tests": ["assert f(1) == 2"]}], "code", "tests"),
        ([{"prompt": "p", "answer": True}], "exact", "text"),
        ([{"prompt": "p", "side": "refuse"}, {"prompt": "q", "answer": "x"}], "exact", "text"),
        ([{"prompt": "p", "choices": ["a", "b"], "answer": 1}], "choice", "choices"),
        ([{"prompt": "p", "side": "refuse"}, {"prompt": "q", "side": "comply"}], "refusal", "side"),
        ([{"prompt": "p", "answer": 1, "grader": "exact"}], "exact", "every row names it"),
    ],
)
def test_the_grader_is_detected_and_reported(tmp_path, rows, grader, why):
    found = _read(tmp_path, *rows)
    assert found.grader == grader
    assert why in found.why
    assert len(found.rows) == len(rows)


def test_one_row_that_is_no_number_makes_all_of_them_text(tmp_path):
    rows = [{"prompt": str(n), "answer": n} for n in range(30)]
    assert _read(tmp_path, *rows).grader == "numeric"
    assert _read(tmp_path, *rows, {"prompt": "x", "answer": "thirty"}).grader == "exact"
    assert _read(tmp_path, *rows, grader="exact").grader == "exact"


def test_rows_become_items_with_everything_they_had(tmp_path):
    chat = {
        "messages": [
            {"role": "user", "content": "2+3="},
            {"role": "assistant", "content": "5"},
        ],
        "cluster": "sums",
    }
    alpaca = {"id": 7, "instruction": "Add.", "input": "2 and 3", "output": "5"}
    worked = {"id": "w", "question": "q", "answer": "2+3=5\n#### 5", "tolerance": 0.1}
    found = [dict(row.fields) for row in _read(tmp_path, chat, alpaca, worked).rows]
    assert [item["prompt"] for item in found] == ["2+3=", "Add.\n\n2 and 3", "q"]
    assert [item["answer"] for item in found] == ["5", "5", "5"]
    assert [item["id"] for item in found] == ["00001", "7", "w"]
    assert (found[0]["cluster"], found[2]["tolerance"]) == ("sums", 0.1)


def test_a_conversation_keeps_all_that_came_before_its_last_answer(tmp_path):
    said = [("system", "Be brief."), ("human", "2+3="), ("gpt", "5"), ("human", "+1"), ("gpt", "6")]
    chat = {"conversations": [{"from": role, "value": text} for role, text in said]}
    fields = _read(tmp_path, chat).rows[0].fields
    roles = ("system", "user", "assistant", "user")
    assert fields["prompt"] == [
        {"role": role, "content": text} for role, (_, text) in zip(roles, said, strict=False)
    ]
    assert fields["answer"] == "6"


def test_the_final_answer_is_what_the_last_mark_says(tmp_path):
    worked = {"question": "q", "answer": "first #### 5, no: 2*3=6\n#### 6"}
    assert _read(tmp_path, worked).rows[0].fields["answer"] == "6"


def test_ids_that_occur_twice_are_numbered(tmp_path):
    rows = [{"id": "a", "prompt": "p", "answer": "x"}, {"id": "a", "prompt": "q", "answer": "y"}]
    assert [row.fields["id"] for row in _read(tmp_path, *rows).rows] == ["00001", "00002"]


def test_the_same_rows_give_the_same_text(tmp_path):
    one = _read(tmp_path, {"prompt": "p", "answer": 1}).text()
    assert one == _read(tmp_path, {"answer": 1, "prompt": "p"}).text()


def test_answers_get_room_for_work_but_never_more_than_a_quarter_of_the_model(tmp_path):
    bare = {"prompt": "p", "answer": 1}
    worked = {"prompt": "p", "answer": 1, "completion": "x" * 90}
    assert _read(tmp_path, bare).max_tokens == 256
    assert _read(tmp_path, worked).max_tokens == 90
    assert _read(tmp_path, bare, context=192).max_tokens == 48
    assert _read(tmp_path, bare, context=192, max_tokens=100).max_tokens == 100


def test_options_that_the_prompt_does_not_show_are_compared_by_likelihood(tmp_path):
    shown = {"prompt": "A) red B) blue?", "choices": ["red", "blue"], "answer": 0}
    hidden = {"prompt": "The sky is", "choices": ["red", "blue"], "answer": 1}
    assert _read(tmp_path, shown).kind == "generate"
    assert _read(tmp_path, hidden).kind == "cloze"


def test_all_faulty_rows_are_named_at_once(tmp_path):
    with pytest.raises(SpecError) as caught:
        _read(tmp_path, {"prompt": "p"}, {"answer": 1}, {"prompt": "p", "answer": 1})
    assert [problem.rpartition("questions.jsonl:")[2] for problem in caught.value.problems] == [
        "1: answer is missing; expected text or a number",
        "2: prompt is missing; expected a question",
    ]
    assert "question" in str(caught.value.help)
