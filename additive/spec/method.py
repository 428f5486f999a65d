"""A merge method as it is written: a name, or a block with its parameters, which only the merge
engine knows."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from additive.spec.fields import should, wrong
from additive.spec.yaml import Located, Node


class MethodSpec:
    """`ties`, or `{name: ties, density: 0.3}`; the parameters are late-bound and keep their places.

    >>> MethodSpec.of("ties", {"density": 0.3}).parameters.value
    {'density': 0.3}
    """

    def __init__(self, name: str, block: Located) -> None:
        self.name = name
        self.block = block
        self.parameters = _without_name(block)

    @classmethod
    def of(
        cls, name: str, parameters: dict[str, Any] | None = None, where: str = "command line"
    ) -> MethodSpec:
        """A method that no file names, such as that of `--method`."""
        return cls(name, Located.of({"name": name, **(parameters or {})}, where=where))

    def position(self) -> str:
        """Where the name was written."""
        return str(self.block.position("name"))

    def resolved(self) -> dict[str, Any]:
        """Name and parameters as one JSON object."""
        return {"name": self.name, **self.parameters.value}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MethodSpec) and self.resolved() == other.resolved()

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"MethodSpec({self.name!r}, {self.parameters.value!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _method,
            serialization=core_schema.plain_serializer_function_ser_schema(MethodSpec.resolved),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        block = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        return {"anyOf": [{"type": "string"}, block]}


def _method(value: Any) -> MethodSpec:
    if isinstance(value, MethodSpec):
        return value
    if isinstance(value, str):
        node = getattr(value, "node", None)
        return MethodSpec(
            str(value), Located(node) if isinstance(node, Node) else Located.of(str(value))
        )
    if not isinstance(value, dict):
        raise should("a method's name or a mapping with it")
    if not isinstance(value.get("name"), str):
        raise wrong("name is missing; expected a method's name, as in {name: ties, density: 0.3}")
    node = getattr(value, "node", None)
    return MethodSpec(
        str(value["name"]), Located(node) if isinstance(node, Node) else Located.of(value)
    )


def _without_name(block: Located) -> Located:
    node = block.node
    children = (
        {k: v for k, v in node.value.items() if k != "name"} if isinstance(node.value, dict) else {}
    )
    return Located(Node(node.position, children, node.keys))
