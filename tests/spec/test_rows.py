"""JSON-lines files, whole and otherwise."""

from __future__ import annotations

import pytest

from additive.errors import SpecError
from additive.spec.rows import MAX_FAULTS, MAX_ROW_BYTES, read_rows


def rows_of(tmp_path, data):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    return read_rows(path, "rows.jsonl")


def test_rows_know_their_lines_and_empty_lines_do_not_count(tmp_path):
    rows = rows_of(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": "\xc3\xa9"}')
    assert [(row.line, row.fields) for row in rows] == [(1, {"a": 1}), (3, {"a": "é"})]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "rows.jsonl: file has no rows; expected at least one"),
        (b"\n \n", "rows.jsonl: file has no rows"),
        (b'{"a": 1', "rows.jsonl:1:8: row is not JSON (expecting ',' delimiter)"),
        (b'{"a": NaN}', "rows.jsonl:1: row is not JSON (NaN is no JSON number)"),
        (b'{"a": 1, "a": 2}', "rows.jsonl:1: row is not JSON (key 'a' is written twice)"),
        (b"[1]", "rows.jsonl:1: row is a list; expected an object"),
        (b'"x"', "rows.jsonl:1: row is text; expected an object"),
        (b'{"a": "\xff"}', "rows.jsonl:1:8: text is byte 0xff; expected UTF-8"),
        (b'{"a": "' + b"x" * (10 << 20) + b'"}', "rows.jsonl:1: row has 10 MiB; expected at most"),
        (b'{"a": ' + b"[" * 100_000, "rows.jsonl:1: row is not JSON"),
    ],
)
def test_what_is_no_row_is_said_with_its_line(tmp_path, data, said):
    with pytest.raises(SpecError) as caught:
        rows_of(tmp_path, data)
    [problem] = caught.value.problems
    assert problem.startswith(said)
    assert len(problem) < 200


def test_the_first_faults_come_together(tmp_path):
    with pytest.raises(SpecError) as caught:
        rows_of(tmp_path, b"x\n" * 100)
    assert len(caught.value.problems) == MAX_FAULTS
    assert caught.value.problems[-1].startswith(f"rows.jsonl:{MAX_FAULTS}:")


def test_files_that_are_not_there_or_no_files(tmp_path):
    with pytest.raises(SpecError, match="file is missing"):
        read_rows(tmp_path / "no.jsonl")
    with pytest.raises(SpecError, match="is a directory"):
        read_rows(tmp_path)


def test_the_longest_row_is_fine(tmp_path):
    data = b'{"a": "' + b"x" * (MAX_ROW_BYTES - 9) + b'"}'
    assert len(rows_of(tmp_path, data)) == 1
