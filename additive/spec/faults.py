"""Faults of validation as lines that say where, what, and what it should be."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from additive.errors import did_you_mean
from additive.spec.yaml import Node, YamlPath, place

_PHRASES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "empty",
}


_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


# Keys of version 0.1.0 that no spelling distance leads to their successors.
_RENAMED = {
    "rate": "learning_rate",
    "every": "eval_steps",
    "minimum": "min_evals",
    "tail": "decay_steps",
    "batch": "batch_size",
}


def fault_lines(errors: Sequence[ErrorDetails], root: Node, model: Any) -> list[str]:
    """The lines of a failed validation, without those that only follow from another one."""
    deeper = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return [
        fault_line(error, root, model)
        for error in errors
        if not (error["type"] == "too_short" and error["loc"] in deeper)
        and error["type"] != "default_factory_not_called"
    ]


def fault_line(error: ErrorDetails, root: Node, model: Any) -> str:
    """One fault as `file:line:col: X is A; expected B`."""
    kind, path = error["type"], _existing(root, error["loc"])
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{place(root, error['loc'], key=True)}: {_unknown_key(error, root, model)}"
    if kind in ("missing", "missing_argument"):
        name = dotted((*path, str(error["loc"][-1])))
        return f"{place(root, error['loc'])}: {name} is missing; expected given"
    if kind == "union_tag_invalid":
        path = (*path, "kind")
    at = place(root, path)
    if kind == "wrong":
        inside = f"{dotted(path)}: " if path else ""
        return f"{at}: {inside}{error['msg']}"
    found = f"{dotted(path) or 'file'} is {quote(_value(root, path))}"
    return f"{at}: {found}; expected {_expected(error)}"


def dotted(path: YamlPath) -> str:
    """`tasks[0].name` for the path ("tasks", 0, "name")."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def quote(value: Any) -> str:
    """A value as a message quotes it: short, on one line, printable."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "empty"}[value]
    if isinstance(value, Mapping | tuple | list):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _expected(error: ErrorDetails) -> str:
    kind, details = error["type"], error.get("ctx", {})
    if kind == "should":
        return error["msg"]
    if kind in _LIMITS:
        word, key = _LIMITS[kind]
        return f"{word} {details[key]:g}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = str(details.get("expected") or details.get("expected_tags"))
        options = [option.strip(" '") for option in expected.replace(" or ", ", ").split(",")]
        given = (
            error["input"].get("kind") if isinstance(error["input"], Mapping) else error["input"]
        )
        hint = did_you_mean(str(given), options) if isinstance(given, str) else ""
        return f"{'one of ' if len(options) > 1 else ''}{', '.join(options)}{hint}"
    if kind in ("too_short", "string_too_short"):
        return (
            f"at least {details.get('min_length', 1)} long"
            if details.get("min_length", 1) > 1
            else "not empty"
        )
    if kind == "string_too_long":
        return f"at most {details['max_length']} characters long"
    if kind == "string_pattern_mismatch":
        return f"text that matches {details['pattern']}"
    if kind == "union_tag_not_found":
        return "a mapping with kind"
    return _PHRASES.get(kind, error["msg"][:1].lower() + error["msg"][1:])


def _unknown_key(error: ErrorDetails, root: Node, model: Any) -> str:
    *parent, key = error["loc"]
    known = sorted(_known_keys(model, tuple(parent)))
    where = dotted(_existing(root, tuple(parent)))
    hint = did_you_mean(_RENAMED.get(str(key), str(key)), known) or (
        f"; known: {', '.join(known)}" if known else ""
    )
    return f"unknown key {str(key)!r}{f' in {where}' if where else ''}{hint}"


def _existing(root: Node, location: YamlPath) -> YamlPath:
    """The steps of pydantic's path that lead somewhere in the file."""
    node, path = root, []
    for step in location:
        child = node.child(step)
        if child is not None:
            node = child
            path.append(step)
    return tuple(path)


def _value(root: Node, path: YamlPath) -> Any:
    node = root
    for step in path:
        child = node.child(step)
        node = child if child is not None else node
    return node.value


def _known_keys(model: Any, path: YamlPath) -> set[str]:
    """The keys of the block at a path of a model."""
    candidates = list(_blocks(model))
    for step in path:
        tagged = [block for block in candidates if step in _tags(block)]
        if tagged:
            candidates = tagged
            continue
        inner = [_fields(block)[step] for block in candidates if step in _fields(block)]
        candidates = [block for annotation in inner for block in _blocks(annotation)] or candidates
    return {key for block in candidates for key in _fields(block)}


def _fields(block: Any) -> dict[Any, Any]:
    if isinstance(block, type) and issubclass(block, BaseModel):
        return {name: field.annotation for name, field in block.model_fields.items()}
    if isinstance(block, type) and is_dataclass(block):
        hints = get_type_hints(block)
        return {field.name: hints[field.name] for field in fields(block) if field.init}
    return {}


def _tags(block: Any) -> tuple[Any, ...]:
    return get_args(_fields(block).get("kind")) if "kind" in _fields(block) else ()


def _blocks(annotation: Any) -> Iterator[Any]:
    """The models and dataclasses inside an annotation."""
    if get_origin(annotation) in (Union, types.UnionType, tuple, dict, list, Annotated):
        for argument in get_args(annotation):
            yield from _blocks(argument)
    elif get_origin(annotation) is not Literal and _fields(annotation):
        yield annotation
