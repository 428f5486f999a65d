"""What the keys of a spec are, read from the models: for the reference and for scaffolds."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from additive.spec.method import MethodSpec
from additive.spec.model import Spec

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
