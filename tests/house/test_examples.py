"""Every example in a docstring gives what it says."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from tests.house.source import modules

WITH_EXAMPLES = [name for name, path in modules().items() if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
