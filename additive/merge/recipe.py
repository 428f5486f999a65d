"""A merge, fully resolved: which sources at which weights, by which method, into what.

From a method's name and parameters, as a recipe or a command line gives them, to the method.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_type_hints

from additive.errors import UnknownName, UsageError
from additive.merge.method import MergeMethod, Step
from additive.merge.methods import METHODS
from additive.merge.steps import STEPS
from additive.registry import Registry
from additive.spec.recipe import MergeSpec
from additive.types.digests import Digest, short


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


@dataclass(frozen=True)
class SourceSpec:
    """One specialist in a merge.

    directory  a folder that PEFT or transformers can load
    weight     wᵢ, dimensionless
    grams      the file of its Grams, for a method that needs them
    finite     True when its numbers were checked at freeze, so that they need not be read twice
    """

    name: str
    digest: Digest
    directory: Path
    weight: float = 1.0
    finite: bool = False
    grams: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}@{short(self.digest)}"


def check_sources(sources: Sequence[SourceSpec]) -> None:
    """Refuse sources that are none, or that are not all different specialists.

    Raises: UsageError.
    """
    if not sources:
        raise UsageError("a merge has no sources when it needs at least one")
    digests = [source.digest for source in sources]
    names = [source.name for source in sources]
    for values, what in ((names, "named"), (digests, "the same specialist as another source,")):
        twice = next((i for i, value in enumerate(values) if value in values[:i]), None)
        if twice is not None:
            raise UsageError(
                f"{sources[twice]} is {what} twice when each specialist should occur once",
                help="give it one weight instead, for example --weight NAME=2",
            )


@dataclass(frozen=True)
class Rule:
    """An exception for the parameters whose name matches a glob pattern (`*.mlp.*`,
    `lm_head.weight`).

    method None keeps the base's values; scale takes the place of the recipe's, None leaves it.
    """

    pattern: str
    method: MergeMethod | None
    scale: float | None = 1.0


@dataclass(frozen=True)
class Part:
    """What applies to one parameter; method None keeps the base's values, `ruled` says that a rule
    does, `fixed` that the scale is that rule's own. A rule's parameters take no steps.
    """

    method: MergeMethod | None
    scale: float
    ruled: bool = False
    fixed: bool = False
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()


UNSCALED = MergeSpec(scale=1.0)


@dataclass(frozen=True)
class BuiltRecipe:
    """A recipe whose sources are at hand and whose method and steps are objects: everything that
    decides the bytes of a merge, but for the base.

    sources   in any order: they are summed in the order of their digests
    method    combines the deltas of one parameter
    settings  the recipe itself, with every option; its scale is a number here
    rules     for single parameters, by name; the first that matches replaces method, scale and
              steps; the default rules are among them
    before    steps on the sources' deltas, in this order; see `additive.merge.steps`
    after     steps on the merged delta, in this order
    """

    sources: tuple[SourceSpec, ...]
    method: MergeMethod
    settings: MergeSpec = UNSCALED
    rules: tuple[Rule, ...] = ()
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()

    @property
    def scale(self) -> float:
        """λ, multiplies the merged delta. Raises: UsageError where it is still to be chosen."""
        if isinstance(self.settings.scale, str):
            raise UsageError(
                "scale is not chosen yet", help="give a number, for example --scale 1.0"
            )
        return self.settings.scale

    def part(self, parameter: str) -> Part:
        """How one parameter is merged: by the first rule that matches its name, else as the recipe
        says.
        """
        rule = self.rule(parameter)
        if rule is not None:
            if rule.scale is None:
                return Part(rule.method, self.scale, ruled=True)
            return Part(rule.method, rule.scale, ruled=True, fixed=True)
        return Part(self.method, self.scale, before=self.before, after=self.after)

    def rule(self, parameter: str) -> Rule | None:
        """The first rule that matches a parameter's name."""
        return next((r for r in self.rules if fnmatchcase(parameter, r.pattern)), None)

    def ordered(self) -> tuple[SourceSpec, ...]:
        """The sources in the order in which they are summed."""
        return tuple(sorted(self.sources, key=lambda source: source.digest))

    def resolved(self) -> dict[str, Any]:
        """The recipe as JSON values with all defaults filled in; no paths, no names of folders."""
        fields = {
            **self.settings.resolved(),
            "sources": [{"digest": s.digest, "weight": s.weight} for s in self.ordered()],
            "method": named_method(self.method),
        }
        grams = [source.grams.name for source in self.ordered() if source.grams]
        if grams:
            fields["grams"] = grams
        for key, steps in (("before", self.before), ("after", self.after)):
            if steps:
                fields[key] = [named_step(step) for step in steps]
        if self.rules:
            fields["rules"] = [
                {
                    "match": r.pattern,
                    "method": r.method and named_method(r.method),
                    "scale": r.scale,
                }
                for r in self.rules
            ]
        return fields


def named_method(method: MergeMethod) -> dict[str, Any]:
    """A method as JSON values: its name and every parameter."""
    return {"name": method_name(method), **method_parameters(method)}


def named_step(step: Any) -> dict[str, Any]:
    """A step as JSON values: its name and every parameter."""
    return {"name": registered_name(step, STEPS), **method_parameters(step)}
