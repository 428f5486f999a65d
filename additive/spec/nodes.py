"""YAML values that remember where they were written.

A `Node` is one value of a file; a `Located` is a node handed to a layer that knows more than this
one (a merge method's parameters, say), which can then raise its own faults at `file:line:col`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from additive.errors import SpecError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Position:
    """A place in a file, counted from 1; line 0 is a place without lines, such as a command-line
    option."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Node:
    """One value: a scalar, a tuple of nodes, or a mapping of nodes with the places of its keys."""

    position: Position
    value: bool | int | float | str | tuple[Node, ...] | dict[str, Node] | None
    keys: Mapping[str, Position] = field(default_factory=dict)

    def child(self, step: str | int) -> Node | None:
        """The value under a key or index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, tuple) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def plain(self) -> Any:
        """The value without places: dict, tuple and scalars; dicts and strings carry their node in
        `.node`."""
        if isinstance(self.value, dict):
            return PlacedDict({key: node.plain() for key, node in self.value.items()}, self)
        if isinstance(self.value, tuple):
            return tuple(node.plain() for node in self.value)
        return PlacedText.of(self.value, self) if isinstance(self.value, str) else self.value


class PlacedDict(dict[str, Any]):
    """A dict that knows the node it came from, so that a late-bound field keeps its place."""

    def __init__(self, items: Mapping[str, Any], node: Node) -> None:
        super().__init__(items)
        self.node = node


class PlacedText(str):
    """A string that knows the node it came from."""

    node: Node

    @classmethod
    def of(cls, text: str, node: Node) -> PlacedText:
        """The text with its node."""
        placed = cls(text)
        placed.node = node
        return placed


class Located:
    """A late-bound block of a spec: its plain `value`, and places for faults found in it later.

    Two blocks are equal when their values are, wherever they were written.

    >>> block = Located.of({"density": 0.3}, where="--set")
    >>> block.fault("density is 0.3 when it should be 1", "density")
    '--set: density is 0.3 when it should be 1'
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.value: Any = unplaced(node)

    @classmethod
    def of(cls, value: Any, where: str = "command line") -> Located:
        """A block that no file holds, such as the parameters given by `--set`."""
        return cls(node_of(value, Position(where)))

    def position(self, *path: str | int, key: bool = False) -> Position:
        """The place of the value at a path (of its key, with `key`); the nearest parent's where
        there is none."""
        return place(self.node, path, key=key)

    def fault(self, message: str, *path: str | int, key: bool = False) -> str:
        """`file:line:col: message` for something wrong at a path."""
        return f"{self.position(*path, key=key)}: {message}"

    def error(self, message: str, *path: str | int, help: str | None = None) -> SpecError:
        """A SpecError at a path, to be raised by the caller."""
        return SpecError([self.fault(message, *path)], help=help)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Located) and self.value == other.value

    def __hash__(self) -> int:
        return hash(repr(self.value))

    def __repr__(self) -> str:
        return f"Located({self.value!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _located,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda block: block.value
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "object"}


def _located(value: Any) -> Located:
    if isinstance(value, Located):
        return value
    node = getattr(value, "node", None)
    return Located(node) if isinstance(node, Node) else Located.of(value, where="value")


def node_of(value: Any, position: Position) -> Node:
    """A plain value as nodes that all stand at one place."""
    if isinstance(value, Mapping):
        children = {str(key): node_of(item, position) for key, item in value.items()}
        return Node(position, children, dict.fromkeys(children, position))
    if isinstance(value, list | tuple):
        return Node(position, tuple(node_of(item, position) for item in value))
    return Node(position, value)


def unplaced(node: Node) -> Any:
    """The value as JSON would have it: dict, list and scalars."""
    if isinstance(node.value, dict):
        return {key: unplaced(child) for key, child in node.value.items()}
    return (
        [unplaced(child) for child in node.value] if isinstance(node.value, tuple) else node.value
    )


def place(root: Node, path: Path, *, key: bool = False) -> Position:
    """The place of the node at a path, or of the deepest one that exists; steps that lead nowhere
    are skipped."""
    node, found = root, root.position
    for step in path:
        child = node.child(step)
        if child is not None:
            found = node.keys.get(str(step), child.position) if key else child.position
            node = child
    return found
