"""Results that were measured before, kept under everything that could change them.

    key = digest(model, suite, runtime, rung)

model: weights, base, tokenizer and template · suite: items, prompts, graders' versions, decoding,
how many and by which seed · runtime: dtype, device, batch, library versions · rung: what held code
that was run, if any was. Nothing is ever looked up by a name. A record that is damaged, or that
does not say it belongs to the key, is measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import write_text
from additive.errors import IntegrityError
from additive.types.digests import Digest, digest_json
from additive.types.result_json import read_document, result_document
from additive.types.results import SuiteResult

SCHEMA = "additive.evaluation/1"


def cache_key(
    model: Digest, suite: Digest, runtime: Mapping[str, Any], rung: str | None
) -> dict[str, Any]:
    """The key as JSON, as it is kept beside the results."""
    return {"model": model, "suite": suite, "runtime": dict(runtime), "rung": rung}


def path_of(directory: Path, key: Mapping[str, Any]) -> Path:
    """Where the results of a key are kept."""
    digest = digest_json(key)
    return directory / digest[:2] / f"{digest}.json"


def recall(directory: Path, key: Mapping[str, Any]) -> tuple[SuiteResult, ...] | None:
    """The results kept for a key; None when there are none that can be trusted."""
    try:
        document = json.loads(path_of(directory, key).read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA or document["key"] != dict(key):
            return None
        if document["digest"] != digest_json(document["results"]):
            return None
        return tuple(read_document(result) for result in document["results"])
    except (OSError, ValueError, KeyError, TypeError, IntegrityError):
        return None


def keep(directory: Path, key: Mapping[str, Any], results: Sequence[SuiteResult]) -> Path:
    """Keep the results of a key; the file is whole or not there.

    Raises: ResourceError when the disk is full or fails.
    """
    documents = [result_document(result) for result in results]
    path = path_of(directory, key)
    whole = {"schema": SCHEMA, "key": key, "digest": digest_json(documents), "results": documents}
    write_text(path, json.dumps(whole, ensure_ascii=False, sort_keys=True))
    return path
