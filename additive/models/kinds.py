"""The types of what is loaded, for annotations where transformers is not imported."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["PreTrainedModel", "PreTrainedTokenizerBase"]
