"""Writes docs/specs.md and the JSON Schemas: `python -m additive.spec.reference`.

What the keys of a spec are, read from the models: for the reference and for scaffolds.

Specs to start from: what is given is written, every other key is a comment with its meaning.

# Rows of A and columns of B.
# rank: 8

A short file of every kind, as the reference shows it; a test loads each.

JSON Schemas of the specs, for editors: in additive/data/schemas, kept true by a test.
"""

from __future__ import annotations

import json
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from additive.spec.domain import DomainSpec
from additive.spec.fields import Spec
from additive.spec.method import MethodSpec
from additive.spec.recipe import Recipe
from additive.spec.suite import SuiteSpec
from additive.spec.workspace import WorkspaceSpec

_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Key:
    """One key: `path` from the file's root, what it takes, its default as YAML, what it does."""

    path: tuple[str, ...]
    takes: str
    default: str
    required: bool
    about: str
    blocks: tuple[type[Spec], ...] = ()

    @property
    def dotted(self) -> str:
        """`adapt.rank`."""
        return ".".join(self.path)


def keys_of(model: type[Spec], path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every key of a model, blocks before what is in them; alternatives one after the other."""
    for name, field in model.model_fields.items():
        if name == "name" and not field.is_required():
            continue
        key = _key((*path, name), field)
        yield key
        yield from _joined(key.blocks, key.path)


def _joined(blocks: tuple[type[Spec], ...], path: tuple[str, ...]) -> Iterator[Key]:
    """The keys of alternative blocks, each once; what one key takes in several is put together."""
    found: dict[str, Key] = {}
    for block in blocks:
        for key in keys_of(block, path):
            known = found.get(key.dotted)
            takes = f"{known.takes} · {key.takes}" if known and known.takes != key.takes else None
            found[key.dotted] = replace(known, takes=takes) if known and takes else known or key
    yield from found.values()


def about(model: type[Spec]) -> str:
    """What a block is, on one line."""
    return " ".join((model.__doc__ or "").split())


def yaml_value(value: Any) -> str:
    """A default as it would be written in the file."""
    if isinstance(value, MethodSpec):
        return value.name
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "–"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(yaml_value(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else '""'


def _key(path: tuple[str, ...], field: FieldInfo) -> Key:
    blocks = tuple(_blocks(field.annotation))
    described = " ".join((field.description or "").split())
    takes, default = _takes(field.annotation), _default(field)
    return Key(path, takes, default, field.is_required(), described, blocks)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default is PydanticUndefined:
        return "see text"
    return yaml_value(field.default)


def _blocks(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _blocks(argument)


def _takes(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(arguments[0])
    if origin is Literal:
        return " · ".join(f"`{argument}`" for argument in arguments)
    if origin in (Union, types.UnionType):
        named = [_takes(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(named))
    if origin is tuple:
        return f"list of {_takes(arguments[0])}"
    if origin is dict:
        return "mapping"
    if annotation is MethodSpec:
        return "name or block"
    return _NAMES.get(annotation, "block")


_WIDTH = 96


def commented(model: type[Spec], given: Mapping[str, Any], schema: str) -> str:
    """A YAML file for a model: `given` values live, defaults as comments; `schema` is for editors.

    Example: `commented(DomainSpec, {"version": 1}, "../../.additive/schemas/domain.json")`
    """
    head = [f"# yaml-language-server: $schema={schema}", *_comment(about(model), "")]
    body = _block(model, given, depth=0)
    return "\n".join([*head, *body]) + "\n"


def _block(model: type[Spec], given: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key in [key for key in keys_of(model) if len(key.path) == 1]:
        name = key.path[0]
        value = given.get(name)
        indent = "  " * depth
        yield from _comment(key.about, indent)
        chosen = _chosen(key, value) if isinstance(value, Mapping) else None
        if chosen is not None and isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _block(chosen, value, depth + 1)
        elif name in given:
            yield f"{indent}{name}: {_flow(value)}"
        else:
            yield f"{indent}# {name}:{_default_shown(key)}"


def _chosen(key: Key, value: Mapping[str, Any]) -> type[Spec] | None:
    """The alternative of a block that has all given keys; None for a map with keys of its own."""
    fitting = [block for block in key.blocks if set(value) <= set(block.model_fields)]
    return fitting[0] if fitting else None


def _default_shown(key: Key) -> str:
    if key.blocks and key.default in ("{}", "see text"):
        inner = [found for found in keys_of(key.blocks[0]) if len(found.path) == 1]
        pairs = [f"{found.path[0]}: {found.default}" for found in inner if _is_documented(found)]
        return f" {{{', '.join(pairs)}}}"
    return f" {key.default}" if _has_default(key) else ""


def _is_documented(key: Key) -> bool:
    """Empty lists of an inner block would only make its line long."""
    return _has_default(key) and key.default != "[]"


def _has_default(key: Key) -> bool:
    return key.default not in ("–", "see text", "required")


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else f"{value:g}"


def _text(value: str) -> str:
    simple = value and all(c.isalnum() or c in "-_./+" for c in value) and value[0].isalpha()
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return value if simple else f'"{quoted}"'


EXAMPLES = {
    "workspace": """\
version: 1
base: {model: tiny}
merge: {method: auto, scale: validation}
gate: {margin: 0.05}
""",
    "domain": """\
version: 1
description: stories of two and three steps, with written work
data: {train: [train.jsonl], validation: [validation.jsonl], license: CC0-1.0}
adapt: {kind: lora, rank: 8}
train: {learning_rate: 5e-4, batch_size: 32}
grader: numeric
""",
    "suite": """\
version: 1
domain: math
tasks:
  - {name: stories, data: tasks/math_new_values.jsonl, grader: numeric, max_tokens: 48}
gate: {margin: 0.05}
""",
    "recipe": """\
version: 1
sources: [math, code, {domain: safety, weight: 0.8}]
before: [balance]
method: {name: ties, density: 0.3}
after: [{name: lines, first: 0.5}]
rules: [{match: lm_head.weight, method: base}]
scale: validation
""",
}


MODELS: dict[str, type[Spec]] = {
    "workspace": WorkspaceSpec,
    "domain": DomainSpec,
    "suite": SuiteSpec,
    "recipe": Recipe,
}
"""The model of every kind of file that a user writes."""


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file."""
    schema = MODELS[kind].model_json_schema()
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


_FILES = {
    "workspace": "additive.yaml",
    "domain": "domains/&lt;name&gt;/domain.yaml",
    "suite": "evals/&lt;suite&gt;.yaml",
    "recipe": "merges/&lt;name&gt;.yaml",
}


_INTRODUCTION = """# Specs

Generated from the models in `additive/spec/` by `make docs`; do not edit by hand.

Files are YAML 1.2: `2e-4` is a number, `no` is text. Unknown keys, wrong types and numbers that
are not finite are faults, and `additive lint` names all of a file at once with line and column.
Fractions are in (0, 1], never percent. Paths of a domain's data are relative to its directory,
those of a suite's to `evals/`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(line for kind in MODELS for line in _section(kind))])


def write(root: Path) -> None:
    """Write docs/specs.md and additive/data/schemas below the repository's root."""
    (root / "docs" / "specs.md").write_text(reference(), encoding="utf-8")
    write_schemas(root / "additive" / "data" / "schemas")


def _section(kind: str) -> Iterator[str]:
    model = MODELS[kind]
    yield f"## {_FILES[kind]}\n"
    yield f"{about(model)}\n"
    yield from _example(kind)
    yield "| key | takes | default | |"
    yield "|---|---|---|---|"
    for key in keys_of(model):
        yield _row(key)
    yield ""


def _example(kind: str) -> Iterator[str]:
    yield f"```yaml\n{EXAMPLES[kind]}```\n"


def _row(key: Key) -> str:
    takes = "block" if key.blocks and key.takes.startswith("block") else key.takes
    default = "" if key.default == "{}" else "**required**" if key.required else f"`{key.default}`"
    default = {"`–`": "–", "`see text`": "see text"}.get(default, default)
    return f"| `{key.dotted}` | {takes} | {default} | {key.about.replace('|', '/')} |"


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2])
