"""What makes a manifest prove itself: identity and seal on plain JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import render_json
from additive.errors import FormatError, IntegrityError
from additive.tensors.json import parse_json, read_bytes
from additive.types.digests import Digest, canonical_json, digest_json

MANIFEST = "manifest.json"
SCHEMA = "additive.manifest/2"
_OLDER = frozenset({"additive.manifest/1"})  # data entries had `licence`, specs other keys
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_+-]{0,127}")


def identity(fields: Mapping[str, Any]) -> Digest:
    """The digest that names an artifact, from a manifest's fields.

    Binds weights, config, tokenizer, template, base identity, parents (in any order, with their
    weights) and resolved spec; never names, places, times, versions or hardware.
    """
    base = fields.get("base")
    parents = [[p["digest"], p.get("weight")] for p in fields.get("parents", ())]
    return digest_json(
        {
            "schema": "additive.identity/1",
            "weights": fields["weights"],
            "config": fields["config"],
            "tokenizer": fields.get("tokenizer"),
            "template": fields.get("template"),
            "base": base["digest"] if base else None,
            "parents": sorted(parents, key=canonical_json),
            "spec": fields.get("spec", {}),
        }
    )


def base_digest(
    weights: Digest, config: Digest, tokenizer: Digest | None, template: Digest | None
) -> Digest:
    """The digest of a base: its content, wherever it lies and whatever it is called."""
    return digest_json(
        {
            "schema": "additive.base/1",
            "weights": weights,
            "config": config,
            "tokenizer": tokenizer,
            "template": template,
        }
    )


def seal_of(fields: Mapping[str, Any]) -> Digest:
    """The digest of all fields of a manifest but the seal."""
    return digest_json({key: value for key, value in fields.items() if key != "seal"})


def read_fields(path: Path) -> dict[str, Any]:
    """Read `manifest.json` as plain values after checking text, schema, seal, base and identity.

    Raises: IntegrityError when a single byte is not the one that was frozen; FormatError, with the
    command that makes the artifact again, when an older additive froze it.
    """
    where = str(path)
    data = read_bytes(path)
    fields = parse_json(data, where)
    if not isinstance(fields, dict):
        raise IntegrityError("manifest is not a JSON object", where=where)
    if fields.get("schema") in _OLDER:
        raise FormatError(
            f"an older additive froze this: schema is {fields['schema']!r}; expected {SCHEMA!r}",
            where=where,
            help=_how_to_rebuild(fields),
        )
    if fields.get("schema") != SCHEMA:
        raise IntegrityError(
            f"schema is {fields.get('schema')!r}; expected {SCHEMA!r}",
            where=where,
            help="a newer additive may have written it",
        )
    if render_json(fields).encode() != data or fields.get("seal") != seal_of(fields):
        raise IntegrityError(
            "manifest was changed after freezing: its seal does not fit", where=where
        )
    _check_digests(fields, where)
    return fields


def _how_to_rebuild(fields: Mapping[str, Any]) -> str:
    """The command that makes an artifact of an older format again.

    The manifest is not verified yet, so only plain names get into a command that users may copy.
    """
    name, parents, spec = fields.get("name"), fields.get("parents"), fields.get("spec")
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
        return "make the artifact again"
    if fields.get("kind") == "merge":
        listed = parents if isinstance(parents, list) else []
        names = [str(parent.get("name")) for parent in listed if isinstance(parent, dict)]
        plain = all(_PLAIN_NAME.fullmatch(each) for each in names)
        return f"merge it again: additive merge {' '.join(names) if names and plain else '…'}"
    if isinstance(spec, dict) and isinstance(spec.get("adopted"), dict):
        return f"adopt it again: additive adopt DIR --as {name}"
    return f"train it again: additive train {name}"


def _check_digests(fields: Mapping[str, Any], where: str) -> None:
    # A seal can be computed again by whoever edits; the name of the artifact cannot be kept then.
    try:
        base = fields["base"]
        if base and base["digest"] != base_digest(
            base["weights"], base["config"], base["tokenizer"], base["template"]
        ):
            raise IntegrityError("digest of the base does not fit its parts", where=where)
        if fields["digest"] != identity(fields):
            raise IntegrityError("digest does not fit the manifest's own fields", where=where)
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"manifest lacks a field: {error}", where=where) from None
