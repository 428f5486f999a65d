"""From a method's name and parameters, as a recipe or a command line gives them, to the method."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

from additive.errors import UnknownName, UsageError
from additive.merge.methods import METHODS
from additive.merge.stack import MergeMethod
from additive.merge.steps import STEPS
from additive.registry import Registry


def build_method(name: str, parameters: Mapping[str, Any] | None = None) -> MergeMethod:
    """The method of that name with these parameters.

    Raises: UnknownName for a method or parameter that does not exist, UsageError for a value of the
    wrong type or outside its range.

    >>> build_method("ties", {"density": 0.3})
    Ties(density=0.3)
    """
    return _built(METHODS.get(name), name, parameters)


def build_step(name: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """The step of that name with these parameters; raises as `build_method`.

    >>> build_step("lines", {"first": 0.2})
    Lines(first=0.2, last=1.0)
    """
    return _built(STEPS.get(name), name, parameters)


def _built(kind: Any, name: str, parameters: Mapping[str, Any] | None) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    types = get_type_hints(kind)
    given = {}
    for key, value in (parameters or {}).items():
        if key not in fields:
            raise UnknownName(
                f"parameter of {name}", key, fields, help=None if fields else f"{name} has none"
            )
        given[key] = _convert(name, key, value, types[key])
    return kind(**given)


def method_name(method: MergeMethod) -> str:
    """The name under which a method's class is registered; a plug-in outside the registry goes by
    its class.
    """
    return registered_name(method, METHODS)


def registered_name(thing: object, registry: Registry[Any]) -> str:
    """The name of an object's class in a registry; `module:class` where it has none."""
    kind = type(thing)
    target = f"{kind.__module__}:{kind.__qualname__}"
    for name, place in registry.builtins.items():
        if place == target:
            return name
    for name in registry.names():
        if name not in registry.builtins and registry.get(name) is kind:
            return name
    return target


def method_parameters(method: MergeMethod) -> dict[str, Any]:
    """A method's resolved parameters, defaults filled in: JSON values."""
    kind: Any = method
    return dataclasses.asdict(kind)


def parse_value(text: str) -> Any:
    """The value of `--set KEY=VALUE`: a number, true, false, or the text itself.

    >>> parse_value("0.2"), parse_value("true"), parse_value("rows")
    (0.2, True, 'rows')
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def _convert(method: str, key: str, value: Any, expected: Any) -> Any:
    if expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(expected, type) and type(value) is expected:
        return value
    wanted = getattr(expected, "__name__", str(expected))
    raise UsageError(f"{key} of {method} is {value!r} when it should be a {wanted}")
