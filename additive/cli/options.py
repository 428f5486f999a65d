"""Steps and rules as the command line writes them.

pico                            a step
lines:first=0.3,last=1.2        a step, or a method, with parameters
*.mlp.*=ties:density=0.3@0.8    a rule: pattern, method with parameters, scale
lm_head.weight=base             a rule that keeps the base's values
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from additive.errors import UsageError
from additive.spec.method import MethodSpec
from additive.spec.recipe import RuleSpec

NONE = "none"


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
        raise UsageError(f"{option} is {text!r} when it should be NAME or NAME:KEY=VALUE,…")
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
        raise UsageError(f"--rule is {text!r} when it should be PATTERN=METHOD or PATTERN=base")
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
        raise UsageError(f"scale of --rule is {text!r} when it should be a finite number")
    return scale
