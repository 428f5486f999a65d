"""Tokenizer and chat template of a mergekit file.

Every source has the base's vocabulary, else it is refused, so that `union`, `base` and any model of
the file mean one tokenizer: the base's. mergekit would also cut or pad the embedding to the number
of tokens; where that changes a row, the key is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from additive.deltas.base import Base
from additive.errors import SpecError, did_you_mean
from additive.merge.recipe import SourceSpec
from additive.spec.mergekit import MergekitSpec
from additive.spec.yaml import Located
from additive.tensors.json import read_object

_TOKENIZER_BYTES = 256 << 20


_SHORTEST_TEMPLATE = 20


def check_vocabulary(
    spec: MergekitSpec, file: Located, models: Mapping[str, SourceSpec | None], base: Base
) -> None:
    """Refuse a tokenizer that is not the base's, or that changes the number of embedding rows.

    Raises: SpecError at the key.
    """
    source = spec.vocabulary
    if source is None:
        return
    at = ("tokenizer", "source") if spec.tokenizer else ("tokenizer_source",)
    known = ("union", "base", *models)
    if source not in known:
        hint = did_you_mean(source, known)
        raise file.error(
            f"{'.'.join(at)} is {source!r}; expected union, base or a model of this file{hint}",
            *at,
        )
    rows, tokens = _rows(base), _tokens(base)
    if rows is None or tokens is None:
        raise file.error(f"{'.'.join(at)} needs a base with a tokenizer.json", *at)
    padding = (spec.tokenizer.pad_to_multiple_of if spec.tokenizer else None) or 1
    wanted = -(-tokens // padding) * padding
    if wanted != rows:
        raise SpecError(
            [
                file.fault(
                    f"{'.'.join(at)} would change the embedding from {rows} to {wanted} rows", *at
                )
            ],
            help="leave it out: the base's tokenizer and its padded rows are kept as they are",
        )


def chat_template(spec: MergekitSpec, file: Located) -> str | None:
    """The template to write; None keeps the base's, as `auto` does among models that share it.

    Raises: SpecError for a text that is neither a name of mergekit's nor a Jinja template.
    """
    said = spec.chat_template
    if said is None or said == "auto":
        return None
    named = {
        path.name.removesuffix(".jinja"): path
        for path in resources.files("mergekit._data.chat_templates").iterdir()
        if path.name.endswith(".jinja")
    }
    if said in named:
        return named[said].read_text(encoding="utf-8")
    if len(said) < _SHORTEST_TEMPLATE or "{" not in said:
        raise file.error(
            f"chat_template is {said!r}; expected auto, {', '.join(sorted(named))} or a"
            f" Jinja template{did_you_mean(said, named)}",
            "chat_template",
        )
    return said


def _rows(base: Base) -> int | None:
    text = base.config.get("text_config") or base.config
    return text.get("vocab_size")


def _tokens(base: Base) -> int | None:
    path = base.directory / "tokenizer.json"
    if not path.is_file():
        return None
    content = read_object(path, _TOKENIZER_BYTES)
    vocabulary = (content.get("model") or {}).get("vocab") or {}
    named = vocabulary if isinstance(vocabulary, dict) else {piece[0] for piece in vocabulary}
    return len({*named, *(token.get("content") for token in content.get("added_tokens") or ())})
