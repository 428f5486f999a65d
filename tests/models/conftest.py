"""A random Llama with its tokenizer, loaded once per session."""

from __future__ import annotations

import pytest

from additive.models.loading import load_model, load_tokenizer


@pytest.fixture(scope="session")
def llama(bases):
    """A random Llama and its tokenizer, loaded."""
    return load_model(bases()), load_tokenizer(bases())
