"""What most tests of adopting start from; a module with a workspace of its own overrides it."""

from __future__ import annotations

import pytest

from additive.verbs.init import make_workspace
from tests.merge import files


@pytest.fixture
def workspace(tmp_path):
    files.write_base(tmp_path / "base")
    return make_workspace(tmp_path / "work", "base", ("math",), start=tmp_path)


@pytest.fixture
def lora(tmp_path):
    return files.write_lora(tmp_path / "lora", 1, size=0.03)
