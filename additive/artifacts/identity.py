"""Who a base is: one digest over its weights, config, tokenizer and template, wherever it lies."""

from __future__ import annotations

from pathlib import Path

from additive.artifacts.content import (
    config_digest,
    directory_digests,
    stem_of,
    template_digest,
    tokenizer_digest,
)
from additive.artifacts.leaf_cache import cached_leaves
from additive.artifacts.manifest import BaseIdentity
from additive.artifacts.seal import base_digest, identity

__all__ = [
    "BaseIdentity",
    "cached_leaves",
    "config_digest",
    "identify_base",
    "identity",
    "stem_of",
    "template_digest",
    "tokenizer_digest",
]


def identify_base(
    directory: Path, id: str, revision: str | None = None, cache: Path | None = None
) -> BaseIdentity:
    """The identity of a base in a directory; with a cache directory its weights are hashed once.

    Raises: IntegrityError, SecurityError for a directory that is not whole and clean.

    Example: `identify_base(Path("llama"), "meta-llama/Llama-3.2-1B", "4e20de3", workspace.cache)`
    """
    found = directory_digests(directory, cache)
    digest = base_digest(found.weights, found.config, found.tokenizer, found.template)
    return BaseIdentity(
        id=id,
        revision=revision,
        weights=found.weights,
        config=found.config,
        tokenizer=found.tokenizer,
        template=found.template,
        digest=digest,
    )
