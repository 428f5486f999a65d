"""YAML files to frozen models; every fault of a file at once, each with its place.

domains/math/domain.yaml:4:22: unknown key 'rnak' in adapt; did you mean 'rank'?
domains/math/domain.yaml:6:10: train.learning_rate is 'fast'; expected a number
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic import Field as PydanticField

from additive.errors import SpecError, UsageError
from additive.spec.faults import fault_lines
from additive.spec.yaml import Located, Node, parse_yaml, read_yaml

Model = TypeVar("Model")


def load(
    path: Path, model: type[Model], *, name: str | None = None, display_path: str | None = None
) -> Model:
    """Read a spec file.

    `name` is what the file's place says the thing is called: it is filled in, and a file that says
    another name is a fault. `display_path` is how messages call the file.

    Raises: SpecError with every fault of the file.
    """
    return from_node(read_yaml(path, display_path), model, name=name)


def loads(
    text: str, model: type[Model], *, name: str | None = None, display_path: str = "text"
) -> Model:
    """Read a spec from a text; as `load`."""
    return from_node(parse_yaml(text, display_path), model, name=name)


def build(block: Located, model: type[Model]) -> Model:
    """Build a frozen dataclass from a late-bound block, such as a merge method from its parameters.

    Raises: SpecError with every fault, at the places where the parameters were written; UsageError
    of the dataclass itself, such as a value out of range, at the place of that parameter.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Ties:
    ...     density: float = 0.2
    >>> build(Located.of({"density": 0.3}), Ties)
    Ties(density=0.3)
    """
    try:
        return from_node(block.node, model)
    except UsageError as error:
        named = [key for key in block.value if error.message.startswith(f"{key} ")]
        error.where = error.where or str(block.position(*named[:1]))
        raise


def from_node(root: Node, model: type[Model], *, name: str | None = None) -> Model:
    """Validate nodes against a model.

    Raises: SpecError with every fault.
    """
    values = root.plain()
    faults: list[str] = []
    if name is not None and isinstance(values, dict):
        faults = _name_fault(root, name)
        values = {**values, "name": name}
    try:
        made = _validate(values, model)
    except ValidationError as error:
        raise SpecError(_ordered([*faults, *fault_lines(error.errors(), root, model)])) from None
    except ValueError as error:
        raise SpecError([*faults, f"{root.position}: {error}"]) from None
    if faults:
        raise SpecError(faults)
    return made


def _validate(values: Any, model: type[Model]) -> Model:
    if issubclass(model, BaseModel):
        return model.model_validate(values, strict=True)
    checked = _model_of(model).model_validate(values, strict=True)
    return model(**{key: getattr(checked, key) for key in type(checked).model_fields})


@cache
def _model_of(model: type[Any]) -> type[BaseModel]:
    """A strict model with the fields of a dataclass, which itself stays free of pydantic."""
    if not is_dataclass(model):
        raise TypeError(f"{model.__name__} is no dataclass and no pydantic model")
    hints = get_type_hints(model, include_extras=True)
    members: dict[str, Any] = {
        field.name: (hints[field.name], _default(field)) for field in fields(model) if field.init
    }
    config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )
    return create_model(model.__name__, __config__=config, **members)


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return PydanticField(default_factory=field.default_factory)
    return ...


def _name_fault(root: Node, name: str) -> list[str]:
    given = root.child("name")
    if given is None or given.value == name:
        return []
    return [f"{given.position}: name is {given.value!r}; expected {name!r}, as its path says"]


def _ordered(lines: list[str]) -> list[str]:
    """Faults in the order of the file, each once (a union's alternatives may say the same thing
    twice)."""
    return sorted(dict.fromkeys(lines), key=_line_and_column)


def _line_and_column(line: str) -> tuple[int, int]:
    numbers = [part for part in line.split(": ")[0].split(":")[1:] if part.isdigit()]
    return (int(numbers[0]), int(numbers[1])) if len(numbers) >= 2 else (0, 0)
