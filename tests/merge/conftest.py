"""The small base that most merges here are made on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.merge import files


@pytest.fixture
def base(tmp_path) -> Path:
    return files.write_base(tmp_path / "base")
