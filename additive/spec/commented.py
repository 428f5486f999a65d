"""Specs to start from: what is given is written, every other key is a comment with its meaning.

# Rows of A and columns of B.
# rank: 8
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from additive.spec.fields import Key, about, keys_of
from additive.spec.model import Spec

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
        pairs = [f"{found.path[0]}: {found.default}" for found in inner if _shown(found)]
        return f" {{{', '.join(pairs)}}}"
    return f" {key.default}" if _has_default(key) else ""


def _shown(key: Key) -> bool:
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
