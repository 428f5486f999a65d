"""Four formats in, one kind of row out; every fault named with its row and field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.errors import IntegrityError, SpecError
from additive.train.data import MAX_NAMED, read_rows, rows_digest

PROMPT = {"prompt": "2+3=", "completion": "5"}
MESSAGES = {
    "messages": [{"role": "user", "content": "2+3="}, {"role": "assistant", "content": "5"}]
}
ALPACA = {"instruction": "2+3=", "output": "5"}
SHAREGPT = {"conversations": [{"from": "human", "value": "2+3="}, {"from": "gpt", "value": "5"}]}
USER = ({"role": "user", "content": "2+3="},)


def write(directory, *rows):
    path = directory / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("record", "format", "prompt"),
    [
        (PROMPT, "prompt-completion", "2+3="),
        (MESSAGES, "messages", USER),
        (ALPACA, "alpaca", "2+3="),
        ({**ALPACA, "input": ""}, "alpaca", "2+3="),
        ({**ALPACA, "input": "now"}, "alpaca", "2+3=\n\nnow"),
        (SHAREGPT, "sharegpt", USER),
        ({"conversations": MESSAGES["messages"]}, "sharegpt", USER),
        ({**PROMPT, "prompt": list(USER)}, "prompt-completion", USER),
        ({**PROMPT, "completion": MESSAGES["messages"][1:]}, "prompt-completion", "2+3="),
        ({**PROMPT, "id": 3, "grader": "numeric"}, "prompt-completion", "2+3="),
    ],
)
def test_a_format_is_recognised(tmp_path, record, format, prompt):
    table = read_rows(write(tmp_path, record))
    (row,) = table.rows
    assert (table.format, row.prompt, row.completion) == (format, prompt, "5")
    assert row.where.endswith("rows.jsonl:1")


def test_of_several_answers_the_last_is_trained(tmp_path):
    turns = [*MESSAGES["messages"], {"role": "user", "content": "4+4="}]
    turns.append({"role": "assistant", "content": "8"})
    (row,) = read_rows(write(tmp_path, {"messages": turns})).rows
    assert row.completion == "8"
    assert len(row.prompt) == 3


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"prompt": "x"}, "completion is missing"),
        ({"prompt": 3, "completion": "5"}, "prompt is int; expected text"),
        ({"prompt": "x", "completion": 5}, "completion is int"),
        ({"prompt": "x", "completion": "  "}, "answer is empty"),
        ({"messages": []}, "messages is list; expected a list of messages"),
        ({"messages": ["hi"]}, r"messages\[0\] is str"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\[0\]\.role is 'robot'"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\]\.content is missing"),
        ({"messages": MESSAGES["messages"][1:]}, "only an answer"),
        ({"messages": list(USER)}, "completion is missing"),
        ({"instruction": "x", "output": "y", "input": 3}, "input is int"),
        ({"instruction": "x"}, "completion is missing"),
        ({"conversations": [{"from": "human"}]}, r"conversations\[0\]\.value is missing"),
        ({"question": "x", "answer": "y"}, "keys answer, question, those of no format"),
        ('{"prompt": ', "row is not JSON"),
        ("[1, 2]", "row is a list"),
    ],
)
def test_a_fault_is_named_with_its_row_and_field(tmp_path, record, fault):
    with pytest.raises(SpecError, match=rf"rows\.jsonl:1.*{fault}"):
        read_rows(write(tmp_path, record))


def test_all_faults_of_a_file_come_at_once(tmp_path):
    bad = {"prompt": "x"}
    with pytest.raises(SpecError) as raised:
        read_rows(write(tmp_path, PROMPT, bad, PROMPT, bad, "{"))
    assert [problem.split(":")[1] for problem in raised.value.problems] == ["5", "2", "4"]


def test_many_faults_are_counted(tmp_path):
    with pytest.raises(SpecError) as raised:
        read_rows(write(tmp_path, PROMPT, *[{"prompt": "x"}] * (MAX_NAMED + 7)))
    assert len(raised.value.problems) == MAX_NAMED + 1
    assert "and 7 more" in raised.value.problems[-1]


def test_a_mixed_file_names_the_row_that_differs(tmp_path):
    with pytest.raises(SpecError, match=r"rows\.jsonl:2: prompt is missing"):
        read_rows(write(tmp_path, PROMPT, ALPACA))


def test_the_format_can_be_said(tmp_path):
    path = write(tmp_path, {**PROMPT, **ALPACA})
    assert read_rows(path).format == "alpaca"
    assert read_rows(path, "prompt-completion").rows[0].completion == "5"


def test_prompts_alone_are_read_when_asked_for(tmp_path):
    path = write(tmp_path, {"prompt": "x"}, PROMPT)
    assert [row.completion for row in read_rows(path, prompts_only=True).rows] == [None, "5"]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="no rows"):
        read_rows(path)


def test_missing_and_strange_files_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="missing"):
        read_rows(tmp_path / "no.jsonl")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(SpecError, match=r"rows\.jsonl:1:13: text is byte 0xff; expected UTF-8"):
        read_rows(path)


def test_a_byte_order_mark_and_blank_lines_are_no_fault(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(PROMPT).encode() + b"\n\n")
    assert len(read_rows(path).rows) == 1


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_text_of_any_kind_comes_through(tmp_path_factory, prompt, completion):
    path = write(tmp_path_factory.mktemp("any"), {"prompt": prompt, "completion": completion})
    (row,) = read_rows(path).rows
    assert (row.prompt, row.completion) == (prompt, completion)


def test_the_digest_is_of_what_rows_say(tmp_path):
    first = read_rows(write(tmp_path, PROMPT, PROMPT)).rows
    other = read_rows(write(tmp_path, PROMPT, {**PROMPT, "id": 4})).rows
    assert rows_digest(first) == rows_digest(other)
    assert rows_digest(first) != rows_digest(first[:1])
