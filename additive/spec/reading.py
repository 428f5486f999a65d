"""YAML 1.2 files to nodes, with every fault of a file at once.

Only what a spec needs is read: one document of mappings with text keys, lists and scalars. `2e-4`
is a number and `no` is text, as YAML 1.2 says. Tags are refused (they name types to be built),
aliases may not grow a file beyond `MAX_NODES` values, and nesting ends at `MAX_DEPTH`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from additive.spec.nodes import Node, Position

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


def read_yaml(path: Path, shown: str | None = None) -> Node:
    """The nodes of a YAML file; `shown` is how messages call the file.

    Raises: SpecError with every fault of the file.
    """
    name = shown or str(path)
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
        raise SpecError(
            [f"{name}: file has {len(data)} bytes when it should have at most {MAX_BYTES}"]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        kind = "UTF-16" if utf16 else f"byte 0x{data[error.start]:02x}"
        raise SpecError(
            [f"{name}:{line}:{column}: text is {kind} when it should be UTF-8"],
            help=f"save {name} as UTF-8",
        ) from None


def _check_characters(text: str, name: str) -> None:
    faults = [
        f"{name}:{number}:{found.start() + 1}: character is U+{ord(found[0]):04X}"
        " when it should be printable text"
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
        return f"{at}: indentation is a tab when it should be spaces"
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
            self._fault(at, f"tag is {event.tag!s} when there should be none")
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
                raise SpecError(
                    [*self.faults, f"{at}: file has a second document when it should have one"]
                )
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
            self._fault(key.position, "key is not text when it should be")
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
