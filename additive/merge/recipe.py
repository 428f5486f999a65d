"""A merge, fully resolved: which sources at which weights, by which method, into what.

From a method's name and parameters, as a recipe or a command line gives them, to the method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from additive.errors import UsageError
from additive.merge.method import MergeMethod, Step
from additive.merge.methods import METHODS
from additive.merge.steps import AFTER, BEFORE, STEPS
from additive.registry import Registry
from additive.spec.loader import build
from additive.spec.method import MethodSpec
from additive.spec.recipe import MergeSpec, RuleSpec
from additive.types.digests import Digest, short

KEEP_BASE = "base"


def build_method(
    method: str | MethodSpec, parameters: Mapping[str, Any] | None = None
) -> MergeMethod:
    """A merge method as an object: from its name and parameters, or as a recipe has it.

    Parameters that are left out take the method's own defaults.

    Raises: UnknownName for a method that does not exist; SpecError for a parameter that does not
    exist or has the wrong type, UsageError for one outside its range, both with the place where it
    was written.

    >>> build_method("ties", {"density": 0.3})
    Ties(density=0.3)
    """
    spec = _spec(method, parameters)
    kind = METHODS.get(spec.name)
    if spec.name.startswith("mergekit/"):
        # mergekit has these among the parameters, a recipe beside them.
        ours = {"lambda": "the recipe's scale (--scale)", "weight": "a source's (--weight NAME=W)"}
        for key, place in ours.items():
            if key in spec.parameters.value:
                raise spec.parameters.error(f"{key} is given; expected {place}", key)
    return build(spec.parameters, kind)


def build_step(step: str | MethodSpec, parameters: Mapping[str, Any] | None = None) -> Step:
    """A step as an object; as `build_method`.

    >>> build_step("lines", {"first": 0.2})
    Lines(first=0.2, last=1.0)
    """
    spec = _spec(step, parameters)
    return build(spec.parameters, STEPS.get(spec.name))


def build_steps(specs: Sequence[MethodSpec], place: Literal["before", "after"]) -> tuple[Step, ...]:
    """The steps that a recipe lists before or after its method.

    Raises: as `build_method`; UsageError for a built-in step that belongs to the other place.
    """
    wrong = AFTER if place == "before" else BEFORE
    other = "after" if place == "before" else "before"
    for spec in specs:
        if spec.name in wrong:
            raise UsageError(
                f"step {spec.name} stands {place} the method; it belongs {other} it",
                help=f"--{other} {spec.name}, or the recipe's key `{other}`",
            )
    return tuple(build_step(spec) for spec in specs)


def _spec(method: str | MethodSpec, parameters: Mapping[str, Any] | None) -> MethodSpec:
    if isinstance(method, MethodSpec):
        return method
    return MethodSpec.of(method, dict(parameters or {}), where=f"parameters of {method}")


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
        raise UsageError("a merge needs at least one source")
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
class ParameterRule:
    """An exception for the parameters whose name matches a glob pattern (`*.mlp.*`,
    `lm_head.weight`).

    method None keeps the base's values; scale takes the place of the recipe's, None leaves it.
    """

    pattern: str
    method: MergeMethod | None
    scale: float | None = 1.0


def build_rule(spec: RuleSpec) -> ParameterRule:
    """A recipe's rule with its method as an object; the method `base` keeps the base's values.

    Raises: as `build_method`; SpecError for `base` with parameters or a scale.
    """
    if spec.method.name != KEEP_BASE:
        return ParameterRule(spec.match, build_method(spec.method), spec.scale)
    needless = [*spec.method.parameters.value, *(["scale"] if spec.scale != 1.0 else [])]
    if needless:
        raise spec.method.parameters.error(
            f"{needless[0]} cannot be used where the rule {spec.match!r} keeps the base's values",
            needless[0],
        )
    return ParameterRule(spec.match, None, spec.scale)


@dataclass(frozen=True)
class ParameterRecipe:
    """What applies to one parameter. A rule's parameters take no steps.

    method         None keeps the base's values
    from_rule      whether a rule of the recipe matches the parameter
    has_own_scale  whether the scale is that rule's own
    """

    method: MergeMethod | None
    scale: float
    from_rule: bool = False
    has_own_scale: bool = False
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
    rules: tuple[ParameterRule, ...] = ()
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

    def at_scale(self, scale: float) -> BuiltRecipe:
        """The same recipe with another scale."""
        return replace(self, settings=self.settings.model_copy(update={"scale": scale}))

    def part(self, parameter: str) -> ParameterRecipe:
        """How one parameter is merged: by the first rule that matches its name, else as the recipe
        says.
        """
        rule = self.rule(parameter)
        if rule is not None:
            if rule.scale is None:
                return ParameterRecipe(rule.method, self.scale, from_rule=True)
            return ParameterRecipe(rule.method, rule.scale, from_rule=True, has_own_scale=True)
        return ParameterRecipe(self.method, self.scale, before=self.before, after=self.after)

    def rule(self, parameter: str) -> ParameterRule | None:
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
