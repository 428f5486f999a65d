"""A random Llama's directory and its tokenizer, once per session."""

from __future__ import annotations

import pytest

from additive.models.loading import load_tokenizer


@pytest.fixture(scope="session")
def base(bases):
    """The directory of a random Llama."""
    return bases()


@pytest.fixture(scope="session")
def tokenizer(base):
    return load_tokenizer(base)
