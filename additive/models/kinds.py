"""The types of what is loaded, for annotations elsewhere: only models/ and train/ know transformers."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["PreTrainedModel", "PreTrainedTokenizerBase"]
