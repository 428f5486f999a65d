"""The options of a merge, made from the fields of its recipe; steps and rules as text.

Every field of `additive.spec.recipe.MergeSpec` is an option: its name, its values and the first
sentence of its documentation are the option's. To add an option, add a field.

pico                            a step
lines:first=0.3,last=1.2        a step, or a method, with parameters
*.mlp.*=ties:density=0.3@0.8    a rule: pattern, method with parameters, scale
lm_head.weight=base             a rule that keeps the base's values
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from additive.errors import UsageError, did_you_mean
from additive.spec.method import MethodSpec
from additive.spec.recipe import MergeSpec, RuleSpec, option_name

NONE = "none"


_METAVARS = {"method": "NAME", "scale": "S|validation", "max_shard_size": "SIZE"}


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each field of a recipe; a click decorator.

    The command receives them by the fields' names; `options_of` makes values of the texts.
    """
    for name, field in reversed(MergeSpec.model_fields.items()):
        command = _option(name, field)(command)
    return command


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line gave, as values of the recipe's fields; None where it gave nothing.

    Raises: UsageError.
    """
    values = dict(given)
    for name, field in MergeSpec.model_fields.items():
        if _repeats(field) and _item_of(field) is RuleSpec:
            values[name] = tuple(parse_rule(text) for text in given[name])
        elif _repeats(field):
            values[name] = parse_steps(given[name], option_name(name))
    return {**values, "scale": _merge_scale(given["scale"])}


def _option(name: str, field: FieldInfo) -> Callable[..., Any]:
    sentence = " ".join((field.description or "").split()).split(". ")[0].rstrip(".")
    option = option_name(name)
    if _repeats(field):
        item = "PATTERN=METHOD" if _item_of(field) is RuleSpec else "STEP"
        help = f"{sentence} (repeatable)."
        return click.option(option, name, multiple=True, metavar=item, help=help)
    kind, bounds = _type_of(field), _bounds(field)
    if kind is bool:
        both = f"{option}/--no-{option[2:]}"
        help = f"{sentence}.  [default: {'on' if field.default else 'off'}]"
        return click.option(both, name, default=None, help=help)
    default = field.default.name if isinstance(field.default, MethodSpec) else field.default
    help = f"{sentence}." if default is None else f"{sentence}.  [default: {default}]"
    if get_origin(kind) is Literal:
        return click.option(option, name, type=click.Choice(get_args(kind)), help=help)
    if kind is int and bounds:
        return click.option(option, name, type=click.IntRange(**bounds), metavar="N", help=help)
    return click.option(option, name, metavar=_METAVARS[name], help=help)


def _type_of(field: FieldInfo) -> Any:
    """The annotation without `None`."""
    annotation = field.annotation
    if get_origin(annotation) in (types.UnionType, Union):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _bounds(field: FieldInfo) -> dict[str, Any]:
    annotated = [kind for kind in get_args(field.annotation) if hasattr(kind, "__metadata__")]
    inner = [
        item
        for kind in annotated
        for known in kind.__metadata__
        for item in getattr(known, "metadata", (known,))
    ]
    least = [item.ge for item in (*field.metadata, *inner) if hasattr(item, "ge")]
    return {"min": least[0]} if least else {}


def _repeats(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _item_of(field: FieldInfo) -> Any:
    return get_args(field.annotation)[0]


def _merge_scale(text: str | None) -> float | str | None:
    if text is None or text == "validation":
        return text
    try:
        return float(text)
    except ValueError:
        known = did_you_mean(text, ("validation",))
        raise UsageError(f"--scale is {text!r}; expected a number or validation{known}") from None


def parse_steps(given: Sequence[str], option: str) -> tuple[MethodSpec, ...] | None:
    """The steps of a repeated option; None when it was not given, `none` for no step at all.

    Raises: UsageError.
    """
    if not given:
        return None
    if NONE in given:
        if len(given) > 1:
            raise UsageError(f"{option} is none and more when none stands alone")
        return ()
    return tuple(parse_named(text, option) for text in given)


def parse_named(text: str, option: str) -> MethodSpec:
    """`NAME` or `NAME:KEY=VALUE,KEY=VALUE`.

    Raises: UsageError.

    >>> parse_named("lines:first=0.3", "--after").resolved()
    {'name': 'lines', 'first': 0.3}
    """
    name, colon, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")] if colon else []
    if not name or any(not (key and equals and value) for key, equals, value in pairs):
        raise UsageError(f"{option} is {text!r}; expected NAME or NAME:KEY=VALUE,…")
    parameters = {key: parse_value(value) for key, _, value in pairs}
    return MethodSpec.of(name, parameters, where=option)


def parse_rule(text: str) -> RuleSpec:
    """`PATTERN=METHOD`, with parameters as `parse_named` and `@SCALE` at the end.

    Raises: UsageError.

    >>> parse_rule("*.mlp.*=ties@0.8").scale
    0.8
    """
    pattern, equals, rest = text.partition("=")
    named, at, scale = rest.partition("@")
    if not (pattern and equals and named):
        raise UsageError(f"--rule is {text!r}; expected PATTERN=METHOD or PATTERN=base")
    method = parse_named(named, "--rule")
    return RuleSpec(match=pattern, method=method, scale=_scale(scale) if at else 1.0)


def parse_value(text: str) -> Any:
    """A number, true, false, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale):
        raise UsageError(f"scale of --rule is {text!r}; expected a finite number")
    return scale
