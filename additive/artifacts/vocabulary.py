"""A fast tokenizer's tokens with their ids: what two tokenizers must agree on to share a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from additive.tensors.strict_json import read_object

_TOKENIZER_BYTES = 256 << 20


def vocabulary(directory: Path) -> dict[str, int] | None:
    """Token → id of tokenizer.json, added tokens included; None where there is no such file.

    Padding, truncation and special-token settings are left out: trainers set them as they please.

    Raises: IntegrityError when the file is broken.
    """
    path = directory / "tokenizer.json"
    if not path.exists():
        return None
    content = read_object(path, _TOKENIZER_BYTES)
    added = content.get("added_tokens") or []
    tokens = _model_tokens((content.get("model") or {}).get("vocab") or {})
    return tokens | {str(token.get("content")): token.get("id") for token in added}


def _model_tokens(tokens: Any) -> dict[str, int]:
    """A map for BPE and WordPiece; a list of [token, score] by id for Unigram."""
    if isinstance(tokens, dict):
        return tokens
    return {str(token): place for place, (token, _) in enumerate(tokens)}
