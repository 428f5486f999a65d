"""The parameters of a mergekit file: scalars, gradients over layers, filters, by precedence.

A model's own settings come before its slice's, the slice's before the file's. Which of them applies
to a tensor, and what a gradient is worth there, is mergekit's own rule, called here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from additive.errors import SpecError, did_you_mean
from additive.spec.mergekit import MergekitSpec
from additive.spec.yaml import Located

_TAKES = "a value, a list over the layers, or a list of {filter, value}"


@dataclass(frozen=True)
class Scopes:
    """The settings that apply to the tensors of one output slice.

    file    the whole file, where what nobody says is missing
    own     of each model, before the shared ones
    shared  from the nearest to the farthest
    """

    file: Located
    own: Mapping[str, Located]
    shared: tuple[Located, ...]

    def of(self, model: str | None) -> tuple[Located, ...]:
        """Every block that may say a parameter, in the order of precedence."""
        own = (self.own[model],) if model is not None and model in self.own else ()
        return (*own, *self.shared)


@dataclass(frozen=True)
class Values:
    """A method's parameters for one output tensor; `of_inputs` maps a parameter to its value by
    model.
    """

    shared: Mapping[str, Any]
    of_inputs: Mapping[str, Mapping[str, Any]]


def method_of(spec: MergekitSpec, file: Located) -> Any:
    """mergekit's method object.

    Raises: SpecError at `merge_method`.
    """
    from mergekit.merge_methods import registered_methods

    known = {method.spec.name: method for method in registered_methods()}
    if spec.merge_method not in known:
        hint = did_you_mean(spec.merge_method, known)
        raise file.error(f"unknown method of mergekit {spec.merge_method!r}{hint}", "merge_method")
    return known[spec.merge_method]


def check_settings(method: Any, blocks: Iterable[Located]) -> None:
    """Refuse parameters that the method does not have, and values that are none.

    Raises: SpecError with every fault.
    """
    faults = [fault for block in blocks for fault in _faults(method, block)]
    if faults:
        raise SpecError(faults)


def _faults(method: Any, block: Located) -> Iterable[str]:
    name, known = method.spec.name, {parameter.name for parameter in method.spec.parameters}
    for key, value in block.value.items():
        if key not in known:
            hint = did_you_mean(key, known)
            yield block.fault(f"unknown parameter {key!r} of mergekit/{name}{hint}", key, key=True)
        elif _setting(value) is None:
            yield block.fault(f"{key} is {value!r}; expected {_TAKES}", key)


def resolve(
    method: Any,
    scopes: Scopes,
    name: str,
    inputs: Mapping[str, str],
    base: str | None,
    place: float,
) -> Values:
    """The values for the output tensor `name`, whose inputs are tensors of models.

    place  where the tensor's layer lies in its slice, 0 for the first and 1 for the last

    Raises: SpecError for a value of the wrong type or that is not finite, and for a required
    parameter that nobody says.
    """
    of_inputs: dict[str, dict[str, Any]] = {}
    shared: dict[str, Any] = {}
    for parameter in method.spec.parameters:
        if parameter.scope.value == "shared":
            shared[parameter.name] = _value(parameter, scopes, None, name, place)
            continue
        of_inputs[parameter.name] = {
            model: _value(parameter, scopes, model, tensor, place)
            for model, tensor in inputs.items()
            if model != base or parameter.scope.value == "input"
        }
    return Values(shared, of_inputs)


def _value(parameter: Any, scopes: Scopes, model: str | None, tensor: str, place: float) -> Any:
    from mergekit.config import evaluate_setting

    for block in scopes.of(model):
        if parameter.name not in block.value:
            continue
        setting = _setting(block.value[parameter.name])
        try:
            found = evaluate_setting(tensor, setting, place, validate=parameter.validate)
        except ValueError:
            kind = getattr(parameter.value_type, "__name__", str(parameter.value_type))
            raise block.error(
                f"{parameter.name} is {block.value[parameter.name]!r}; expected a {kind}",
                parameter.name,
            ) from None
        if isinstance(found, float) and not math.isfinite(found):
            raise block.error(
                f"{parameter.name} is {found}; expected a finite number", parameter.name
            )
        if found is not None:
            return found
    if parameter.required:
        owner = f" of {model}" if model else ""
        raise scopes.file.error(
            f"{parameter.name}{owner} is missing for {tensor}; the method needs it",
            "merge_method",
        )
    return parameter.validate(parameter.default)


def _setting(value: Any) -> Any:
    """A value as mergekit's own type, None when it is none."""
    from mergekit.config import ParameterSetting
    from pydantic import TypeAdapter, ValidationError

    if not _known_keys(value):
        return None
    try:
        return TypeAdapter(ParameterSetting).validate_python(value)
    except ValidationError:
        return None


def _known_keys(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(not isinstance(item, dict) or set(item) <= {"filter", "value"} for item in items)
