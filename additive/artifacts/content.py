"""What a model directory is, by content: digests of config, tokenizer, template and weights.

Everything that differs between two machines or two library versions without changing the model is
left out: versions, local paths, the order of lists that stand for sets, the tokenizer's run-time
padding.

A fast tokenizer's tokens with their ids: what two tokenizers must agree on to share a model.

Hashing a base once: leaves kept under the identity of the files that they were read from.

The key is (device, inode, size, mtime, ctime) of every shard. As in git's index, files that changed
within the last two seconds are not cached, because a second change in the same clock tick would not
show. A cache file seals itself and a damaged one is made again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import write_json
from additive.errors import IntegrityError, ResourceError
from additive.tensors.json import read_bytes, read_object
from additive.tensors.reader import Checkpoint, leaves_of, open_checkpoint
from additive.types.digests import Digest, TensorLeaf, digest_bytes, digest_json, weights_digest

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


_RACY_NS = 2_000_000_000


def cached_leaves(
    directory: Path, stem: str = "model", cache: Path | None = None
) -> tuple[TensorLeaf, ...]:
    """The leaves of a checkpoint, from the cache where its files are the ones that were hashed.

    Raises: IntegrityError, SecurityError for a checkpoint that cannot be read, or that changes
    while it is hashed.
    """
    with open_checkpoint(directory, stem) as checkpoint:
        before = _stamps(checkpoint)
        entry = cache / "leaves" / f"{digest_json(before)}.json" if cache else None
        known = _read(entry) if entry else None
        if known is not None:
            return known
        leaves = leaves_of(checkpoint)
        if _stamps(checkpoint) != before:
            raise IntegrityError("weights changed while they were read", where=str(directory))
    if entry and not _is_racy(before):
        # A cache that cannot be written costs the next caller a hash, not this one its answer.
        with suppress(ResourceError):
            _write(entry, leaves)
    return leaves


def _stamps(checkpoint: Checkpoint) -> list[list[Any]]:
    stamps = []
    for shard in checkpoint.shards:
        status = os.stat(checkpoint.directory / shard)
        stamps.append(
            [
                shard,
                status.st_dev,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            ]
        )
    return stamps


def _is_racy(stamps: list[list[Any]]) -> bool:
    newest = max(max(stamp[-2:]) for stamp in stamps)
    return time.time_ns() - newest < _RACY_NS


def _write(entry: Path, leaves: Iterable[TensorLeaf]) -> None:
    rows = [[leaf.name, leaf.dtype, list(leaf.shape), leaf.sha256] for leaf in leaves]
    write_json(entry, {"leaves": rows, "seal": digest_json(rows)})


def _read(entry: Path) -> tuple[TensorLeaf, ...] | None:
    if not entry.exists():
        return None
    try:
        fields = read_object(entry)
    except IntegrityError:
        return None
    rows = fields.get("leaves")
    if fields.get("seal") != digest_json(rows) or not isinstance(rows, list):
        return None
    return tuple(TensorLeaf(name, dtype, tuple(shape), sha) for name, dtype, shape, sha in rows)


ADAPTER_CONFIG = "adapter_config.json"


_MAX_TOKENIZER = 256 << 20


ADAPTER_STEM, MODEL_STEM = "adapter_model", "model"


_VOLATILE = frozenset(
    {
        "_commit_hash",
        "_name_or_path",
        "base_model_name_or_path",
        "library_version",
        "peft_version",
        "revision",
        "transformers_version",
    }
)


# PEFT keeps these as sets and writes them in the order of the process's hash seed.
_SETS = ("target_modules", "modules_to_save", "exclude_modules", "target_parameters")


_SLOW_TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)


_SPECIAL_TOKENS = (
    "bos_token",
    "cls_token",
    "eos_token",
    "mask_token",
    "pad_token",
    "sep_token",
    "unk_token",
)


_MEANINGFUL_TOKENIZER_KEYS = ("add_bos_token", "add_eos_token", "add_prefix_space")


def stem_of(directory: Path) -> str:
    """`adapter_model` for a PEFT directory, `model` for a whole checkpoint.

    Raises: IntegrityError when both an adapter and a whole model lie there, or neither.
    """
    adapter = (directory / ADAPTER_CONFIG).exists()
    model = (directory / "config.json").exists()
    if adapter == model:
        found = "both config.json and" if adapter else "neither config.json nor"
        raise IntegrityError(
            f"{found} {ADAPTER_CONFIG} is there when exactly one should be", where=str(directory)
        )
    return ADAPTER_STEM if adapter else MODEL_STEM


def config_digest(directory: Path) -> Digest:
    """The digest of `adapter_config.json`, or of `config.json` and `generation_config.json`.

    Raises: IntegrityError when there is no config or it is not strict JSON.
    """
    if stem_of(directory) == ADAPTER_STEM:
        config = _stable(read_object(directory / ADAPTER_CONFIG))
        ordered = {key: sorted(config[key]) for key in _SETS if isinstance(config.get(key), list)}
        return digest_json({ADAPTER_CONFIG: config | ordered})
    paths = [directory / "config.json", directory / "generation_config.json"]
    return digest_json({path.name: _stable(read_object(path)) for path in paths if path.exists()})


def tokenizer_digest(directory: Path) -> Digest | None:
    """The digest of what turns text into ids; None when the directory has no tokenizer.

    `tokenizer.json` without its truncation and padding state (else the files of a slow tokenizer),
    and of `tokenizer_config.json` the special tokens and what is added to a text.
    """
    parts: dict[str, Any] = {}
    fast = directory / "tokenizer.json"
    if fast.exists():
        parts["tokenizer.json"] = _without(
            read_object(fast, _MAX_TOKENIZER), ("truncation", "padding")
        )
    else:
        found = [directory / name for name in _SLOW_TOKENIZER_FILES if (directory / name).exists()]
        parts |= {path.name: digest_bytes(read_bytes(path, _MAX_TOKENIZER)) for path in found}
    if not parts:
        return None
    config = directory / "tokenizer_config.json"
    parts["settings"] = _tokenizer_settings(read_object(config)) if config.exists() else {}
    return digest_json(parts)


def template_digest(directory: Path) -> Digest | None:
    """The digest of the chat template's text, wherever it is kept; None when there is none.

    `chat_template.jinja` wins over `tokenizer_config.json`, as in transformers; further named
    templates count too.
    """
    templates: dict[str, str] = {}
    config = directory / "tokenizer_config.json"
    if config.exists():
        templates |= _named_templates(read_object(config).get("chat_template"), str(config))
    if (directory / "chat_template.jinja").exists():
        templates["default"] = _text(directory / "chat_template.jinja")
    more = directory / "additional_chat_templates"
    if more.is_dir():
        templates |= {path.stem: _text(path) for path in sorted(more.glob("*.jinja"))}
    return digest_json(templates) if templates else None


@dataclass(frozen=True)
class ContentDigests:
    """The digests of a model or adapter directory; None for what is not there."""

    weights: Digest
    config: Digest
    tokenizer: Digest | None
    template: Digest | None


def directory_digests(directory: Path, cache: Path | None = None) -> ContentDigests:
    """Digest a model or adapter directory; weights through the cache where there is one.

    Raises: IntegrityError, SecurityError for a directory that is not whole and clean.
    """
    leaves = cached_leaves(directory, stem_of(directory), cache)
    return ContentDigests(
        weights_digest(leaves),
        config_digest(directory),
        tokenizer_digest(directory),
        template_digest(directory),
    )


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(entry) for key, entry in value.items() if key not in _VOLATILE}
    return [_stable(entry) for entry in value] if isinstance(value, list) else value


def _without(value: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: entry for key, entry in value.items() if key not in keys}


def _tokenizer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = {key: config[key] for key in _MEANINGFUL_TOKENIZER_KEYS if key in config}
    for key in _SPECIAL_TOKENS:
        token = config.get(key)
        text = token.get("content") if isinstance(token, dict) else token
        if text is not None:
            settings[key] = text
    return settings


def _named_templates(value: Any, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    try:
        return {str(entry["name"]): str(entry["template"]) for entry in value}
    except (TypeError, KeyError):
        raise IntegrityError(
            "chat_template is neither a text nor named texts", where=where
        ) from None


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(
            f"template is not UTF-8 at byte {error.start}", where=str(path)
        ) from None
