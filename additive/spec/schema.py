"""JSON Schemas of the specs, for editors: in additive/data/schemas, kept true by a test."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from additive.spec.model import Spec

MODELS = {
    "workspace": "additive.spec.workspace:WorkspaceSpec",
    "domain": "additive.spec.domain:DomainSpec",
    "suite": "additive.spec.suite:SuiteSpec",
    "recipe": "additive.spec.recipe:RecipeSpec",
}
"""Every kind of file a user writes, and its model."""


def model_of(kind: str) -> type[Spec]:
    """The model of a kind of file."""
    module, _, name = MODELS[kind].partition(":")
    return getattr(import_module(module), name)


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file."""
    schema = model_of(kind).model_json_schema()
    described = _one_line_descriptions(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **described,
        "title": f"additive {kind}",
    }


def schema_text(kind: str) -> str:
    """The schema as its file's text."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def write_schemas(directory: Path) -> None:
    """Write every schema as `<kind>.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind in MODELS:
        (directory / f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")


def _one_line_descriptions(value: Any) -> Any:
    """Descriptions without the line breaks that they have in the source."""
    if isinstance(value, dict):
        return {
            key: " ".join(inner.split())
            if key == "description" and isinstance(inner, str)
            else _one_line_descriptions(inner)
            for key, inner in value.items()
        }
    return [_one_line_descriptions(inner) for inner in value] if isinstance(value, list) else value
