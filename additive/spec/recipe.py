"""`merges/<name>.yaml`: a merge described once and built by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from additive.spec.fields import (
    Count,
    Device,
    Dtype,
    OutputKind,
    Scale,
    Seed,
    Size,
    Spec,
    Text,
    Version,
    Vocabulary,
    should,
    wrong,
)
from additive.spec.method import MethodSpec

DEFAULT_METHOD = "auto"
_LABELS = ("version", "name", "description", "sources")
_ALWAYS = ("method", "scale", "output", "dtype", "seed")


def option_name(field: str) -> str:
    """How the command line calls a field of a recipe, or one of the two beside it.

    >>> option_name("rules"), option_name("max_shard_size")
    ('--rule', '--max-shard-size')
    """
    singular = {"rules": "rule", "weights": "weight", "parameters": "set"}
    return "--" + singular.get(field, field).replace("_", "-")


class RecipeSource(Spec):
    """One specialist of a merge; `math` alone means `{domain: math}`."""

    domain: Text
    """Reference of a frozen specialist: `math`, `math@9f3c`, `math#0.5`, or a path."""
    weight: float = 1.0
    """Weight of its delta."""

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, values: Any) -> Any:
        if isinstance(values, str):
            return {"domain": str(values)}
        if not isinstance(values, Mapping | RecipeSource):
            raise should("a specialist's name or a mapping with domain and weight")
        return values


class RuleSpec(Spec):
    """An exception for some parameters; the first rule that matches a name wins, and no step
    applies."""

    match: Text
    """Glob pattern of parameter names, such as `*.mlp.*` or `lm_head.weight`."""
    method: MethodSpec
    """Their merge method; `base` keeps the base's values."""
    scale: float = 1.0
    """Takes the place of the recipe's scale."""


class MergeSpec(Spec):
    """How deltas are combined: the options of `additive merge`, the keys of a recipe, and the
    defaults in additive.yaml are these fields, each documented here once.
    """

    method: MethodSpec = MethodSpec.of(DEFAULT_METHOD)
    """Merge method; `additive list methods` lists them. A name, or a mapping with its name and
    parameters. `auto` is `swudi` where every source is plain LoRA, else `task_arithmetic`."""
    before: tuple[MethodSpec, ...] = ()
    """Steps on the sources before the method, in order: `balance`, `pico`."""
    after: tuple[MethodSpec, ...] = ()
    """Steps on the merged delta after the method, in order: `svc`, `lines`."""
    rules: tuple[RuleSpec, ...] = ()
    """Another method or scale for the parameters that match a pattern; the first match wins. The
    default rules come after them."""
    default_rules: bool = True
    """For non-linear methods, average or sum embeddings, norms and heads. They are summed beside
    `tsv_m` and `swudi`, averaged beside others; see docs/merging.md."""
    scale: Scale = "validation"
    """Factor λ on the merged delta; `validation` chooses it on validation rows."""
    output: OutputKind = "checkpoint"
    """Write a whole model (`checkpoint`) or a PEFT adapter (`adapter`). The adapter is exact for
    linear methods over LoRA."""
    dtype: Dtype = "auto"
    """Number format of the written weights; `auto` keeps the base's."""
    rank: Count | None = None
    """Rank to which an output adapter is compressed. Without it the adapter is exact, of the sum of
    the sources' ranks."""

    vocabulary: Vocabulary = "same"
    """For embeddings with different numbers of rows: refuse (`same`), take the fewest (`trim`) or
    the most (`extend`)."""
    max_shard_size: Size | None = None
    """Largest file of a checkpoint, such as `5GB`. A larger tensor gets a file of its own. Without
    it the files are the base's own."""
    seed: Seed = 0
    """Seed of methods that draw at random."""
    device: Device = "cpu"
    """Device of the arithmetic; it decides how sums are rounded."""

    def options(self) -> dict[str, Any]:
        """Every option with its value, as JSON."""
        return self.model_dump(mode="json", exclude=set(_LABELS))

    def resolved(self) -> dict[str, Any]:
        """What decides the bytes, as JSON values; sources and names are identified elsewhere.

        A field that stands at its default is left out, so that a new option changes no identity.
        """
        chosen = self.model_dump(mode="json", exclude=set(_LABELS), exclude_defaults=True)
        always = self.model_dump(mode="json", include=set(_ALWAYS))
        return {**always, **chosen}


class Recipe(MergeSpec):
    """A merge: its sources and how they are combined."""

    version: Version
    """Version of this file's format."""
    name: str = ""
    """The file's name without .yaml; need not be given."""
    description: str = ""
    """What the merge is for, in a sentence."""
    sources: Annotated[tuple[RecipeSource, ...], Field(min_length=1)]
    """The specialists; their order does not matter."""

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[RecipeSource, ...]) -> tuple[RecipeSource, ...]:
        names = [source.domain for source in sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise wrong(f"{', '.join(twice)} occurs twice when each specialist should occur once")
        return sources
