"""YAML 1.2 files to nodes, with every fault of a file at once.

Only what a spec needs is read: one document of mappings with text keys, lists and scalars. `2e-4`
is a number and `no` is text, as YAML 1.2 says. Tags are refused (they name types to be built),
aliases may not grow a file beyond `MAX_NODES` values, and nesting ends at `MAX_DEPTH`.

YAML values that remember where they were written.

A `Node` is one value of a file; a `Located` is a node handed to a layer that knows more than this
one (a merge method's parameters, say), which can then raise its own faults at `file:line:col`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from additive.errors import SpecError

YamlPath = tuple[str | int, ...]


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
    >>> block.fault("density is 0.3; expected 1", "density")
    '--set: density is 0.3; expected 1'
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


def place(root: Node, path: YamlPath, *, key: bool = False) -> Position:
    """The place of the node at a path, or of the deepest one that exists; steps that lead nowhere
    are skipped."""
    node, found = root, root.position
    for step in path:
        child = node.child(step)
        if child is not None:
            found = node.keys.get(str(step), child.position) if key else child.position
            node = child
    return found


MAX_BYTES = 256 * 1024


MAX_DEPTH = 24


MAX_NODES = 20_000


_INT = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")


_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_yaml(path: Path, display_path: str | None = None) -> Node:
    """The nodes of a YAML file; `display_path` is how messages call the file.

    Raises: SpecError with every fault of the file.
    """
    name = display_path or str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError([f"{name}: cannot be read ({error.strerror})"]) from None
    return parse_yaml(_decode(data, name), name)


def parse_yaml(text: str, name: str) -> Node:
    """The nodes of a YAML text.

    Raises: SpecError with every fault of the text.
    """
    _check_characters(text, name)
    builder = _Builder(name)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.feed(event)
    except MarkedYAMLError as error:
        builder.faults.append(_syntax_fault(error, text, name))
    if builder.faults:
        raise SpecError(builder.faults)
    return builder.root if builder.root is not None else Node(Position(name, 1, 1), {})


def resolve_scalar(text: str) -> bool | int | float | str | None:
    """A plain (unquoted) scalar as YAML 1.2's core schema reads it.

    >>> resolve_scalar("2e-4"), resolve_scalar("no"), resolve_scalar("0777")
    (0.0002, 'no', 777)
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(re.sub(r"\.(?=[a-zA-Z])", "", text)) if _FLOAT.fullmatch(text) else text


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise SpecError([f"{name}: file has {len(data)} bytes; expected at most {MAX_BYTES}"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        kind = "UTF-16" if utf16 else f"byte 0x{data[error.start]:02x}"
        raise SpecError(
            [f"{name}:{line}:{column}: text is {kind}; expected UTF-8"],
            help=f"save {name} as UTF-8",
        ) from None


def _check_characters(text: str, name: str) -> None:
    faults = [
        f"{name}:{number}:{found.start() + 1}: character is U+{ord(found[0]):04X}"
        "; expected printable text"
        for number, line in enumerate(text.split("\n"), 1)
        for found in re.finditer(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff]", line)
    ]
    if faults:
        raise SpecError(faults[:10])


def _syntax_fault(error: MarkedYAMLError, text: str, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    text_of_line = lines[line] if line < len(lines) else ""
    indent = text_of_line[: len(text_of_line) - len(text_of_line.lstrip())]
    at = f"{name}:{line + 1}:{column + 1}"
    if "\t" in indent:
        return f"{at}: indentation is a tab; expected spaces"
    problem = " ".join(str(error.problem or error.context or error).split())
    return f"{at}: YAML cannot be read: {problem}"


class _Builder:
    """Events to nodes without recursion; a fault is noted and reading goes on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[str] = []
        self.root: Node | None = None
        self._open: list[tuple[Position, Any, dict[str, Position], list[Node], str | None]] = []
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._documents = 0

    def feed(self, event: Any) -> None:
        """Take one event of the parser."""
        mark = event.start_mark
        at = Position(self.name, mark.line + 1, mark.column + 1)
        if isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent) and event.tag:
            self._fault(at, f"tag is {event.tag!s}; expected no tag")
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0]
            self._add(Node(at, resolve_scalar(event.value) if plain else event.value), event.anchor)
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            self._start(at, isinstance(event, MappingStartEvent), event.anchor)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self._end()
        elif isinstance(event, AliasEvent):
            self._alias(at, str(event.anchor))
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise SpecError([*self.faults, f"{at}: file has a second document; expected one"])
        elif isinstance(event, DocumentEndEvent):
            return

    def _fault(self, at: Position, message: str) -> None:
        self.faults.append(f"{at}: {message}")

    def _start(self, at: Position, mapping: bool, anchor: str | None) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise SpecError([*self.faults, f"{at}: nesting is deeper than {MAX_DEPTH} levels"])
        self._open.append((at, {} if mapping else None, {}, [], anchor))

    def _end(self) -> None:
        at, mapping, keys, items, anchor = self._open.pop()
        if mapping is None:
            self._add(Node(at, tuple(items)), anchor)
        else:
            self._add(Node(at, mapping, keys), anchor)

    def _alias(self, at: Position, anchor: str) -> None:
        node = self._anchors.get(anchor)
        if node is None:
            self._fault(at, f"alias is *{anchor} when no finished value is named &{anchor}")
            node = Node(at, None)
        self._add(node, None)

    def _add(self, node: Node, anchor: str | None) -> None:
        self._count(node)
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        _, mapping, keys, items, _ = self._open[-1]
        items.append(node)
        if mapping is not None and len(items) == 2:
            self._pair(mapping, keys, *items)
            items.clear()

    def _pair(
        self, mapping: dict[str, Node], keys: dict[str, Position], key: Node, value: Node
    ) -> None:
        if not isinstance(key.value, str | int | float) or isinstance(key.value, bool):
            self._fault(key.position, "key is not text; expected text")
            return
        name = str(key.value)
        if name in mapping:
            self._fault(
                key.position,
                f"key {name!r} is written twice; the first is in line {keys[name].line}",
            )
            return
        mapping[name], keys[name] = value, key.position

    def _count(self, node: Node) -> None:
        size = 1 + sum(self._sizes.get(id(child), 1) for child in _children(node))
        self._sizes[id(node)] = size
        if size > MAX_NODES:
            raise SpecError(
                [*self.faults, f"{node.position}: aliases grow the file beyond {MAX_NODES} values"]
            )


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node.value, dict):
        yield from node.value.values()
    elif isinstance(node.value, tuple):
        yield from node.value
