"""The pages on disk: whole, readable by others, and nowhere else than asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from additive.errors import SecurityError
from additive.report.write import write_report
from tests.report.documents import FAIL, evidence


def test_three_files_are_written(tmp_path):
    pages = write_report(tmp_path / "reports", evidence("fail"), FAIL)
    written = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert written == [f"math+code+safety.{end}" for end in ("html", "json", "md")]
    assert json.loads(pages.document.read_text()) == FAIL
    assert pages.html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert pages.markdown.stat().st_mode & 0o444 == 0o444


def test_writing_again_changes_nothing(tmp_path):
    def contents():
        write_report(tmp_path, evidence("fail"), FAIL)
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert contents() == contents()


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", ".", "..", ".hidden", "a\0b", "/etc/x"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    given = evidence("fail")
    with pytest.raises(SecurityError):
        write_report(tmp_path, replace(given, check=replace(given.check, name=name)), FAIL)
    assert list(tmp_path.iterdir()) == []
