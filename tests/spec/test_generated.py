"""What is written from the models is what the models say: schemas, reference, scaffolds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from additive.spec.docs import (
    EXAMPLES,
    MODELS,
    commented,
    keys_of,
    reference,
    schema_text,
    write_schemas,
)
from additive.spec.loader import loads

ROOT = Path(__file__).resolve().parents[2]
LEAST = {
    "workspace": {"version": 1, "base": {"model": "tiny"}},
    "domain": {"version": 1},
    "suite": {"version": 1, "tasks": [{"name": "a", "data": "a.jsonl"}]},
    "recipe": {"version": 1, "sources": ["math"]},
}


def yaml_of(values):
    return json.dumps(values)  # JSON is YAML


@pytest.mark.parametrize("kind", MODELS)
def test_the_shipped_schemas_are_those_of_the_models(kind):
    shipped = (ROOT / "additive" / "data" / "schemas" / f"{kind}.json").read_text()
    assert shipped == schema_text(kind), "make docs"


def test_the_reference_is_that_of_the_models():
    assert (ROOT / "docs" / "specs.md").read_text() == reference(), "make docs"


@pytest.mark.parametrize("kind", MODELS)
def test_every_key_is_described_in_reference_and_schema(kind):
    keys = list(keys_of(MODELS[kind]))
    assert len(keys) > 5
    assert [key.dotted for key in keys if not key.about.endswith(".")] == []
    page = reference()
    assert [key.dotted for key in keys if f"| `{key.dotted}` |" not in page] == []


@pytest.mark.parametrize("kind", MODELS)
def test_examples_load(kind):
    loads(EXAMPLES[kind], MODELS[kind])


@pytest.mark.parametrize("kind", MODELS)
def test_a_commented_file_is_the_given_values_and_nothing_else(kind):
    text = commented(MODELS[kind], LEAST[kind], "schema.json")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    assert loads(text, MODELS[kind]) == loads(yaml_of(LEAST[kind]), MODELS[kind])
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("kind", MODELS)
def test_uncommenting_defaults_changes_nothing(kind):
    """Every `# key: value` line of a scaffold may be made live: it is the default."""
    text = commented(MODELS[kind], LEAST[kind], "schema.json")
    live = re.sub(r"^( *)# ([a-z_0-9]+: \S.*)$", r"\1\2", text, flags=re.MULTILINE)
    prose = re.compile(r"^ *(saturation|Scaling|A|Rank)[^:]*: ", re.MULTILINE)
    assert live != text
    assert not prose.search(live) or "saturation: {" in live
    assert loads(live, MODELS[kind]) == loads(yaml_of(LEAST[kind]), MODELS[kind])


def test_schemas_are_written_whole(tmp_path):
    write_schemas(tmp_path / "schemas")
    assert sorted(path.stem for path in (tmp_path / "schemas").iterdir()) == sorted(MODELS)
    for path in (tmp_path / "schemas").iterdir():
        assert json.loads(path.read_text())["additionalProperties"] is False
