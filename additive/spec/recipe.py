"""`merges/<name>.yaml`: a merge described once and built by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from additive.spec.fields import (
    Count,
    Dtype,
    OutputKind,
    Scale,
    Seed,
    Spec,
    Text,
    Version,
    Vocabulary,
    should,
    wrong,
)
from additive.spec.method import MethodSpec

DEFAULT_METHOD = "auto"


class SourceSpec(Spec):
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
        if not isinstance(values, Mapping | SourceSpec):
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
    """How deltas are added up when nothing else is said."""

    method: MethodSpec = MethodSpec.of(DEFAULT_METHOD)
    """A merge method by name, or a mapping with its name and parameters; see `additive list
    methods`. `auto` is `swudi` where every source is plain LoRA, else `task_arithmetic`."""
    before: tuple[MethodSpec, ...] = ()
    """Steps on the sources before the method, in order: `balance`, `pico`; see docs/merging.md."""
    after: tuple[MethodSpec, ...] = ()
    """Steps on the merged delta after the method, in order: `svc`, `lines`."""
    rules: tuple[RuleSpec, ...] = ()
    """Exceptions by parameter name, in order; the default rules come after them."""
    default_rules: bool = True
    """With a method that is not linear: embeddings, norms and heads are averaged, or summed beside
    `tsv_m` and `swudi`; see docs/merging.md."""
    scale: Scale = "validation"
    """λ, the factor of the whole sum; `validation` chooses it on validation rows."""
    output: OutputKind = "checkpoint"
    """`checkpoint` writes a whole model, `adapter` a PEFT adapter (exact for linear methods over
    lora)."""
    dtype: Dtype = "auto"
    """Numbers of the written weights; `auto` keeps the base's."""
    rank: Count | None = None
    """Rank of an adapter as output: the best approximation of that rank. Without it the adapter is
    exact, of the sum of the sources' ranks."""

    vocabulary: Vocabulary = "same"
    """Where embeddings have other numbers of rows: `same` refuses, `trim` leaves the fewest,
    `extend` takes the most."""


class RecipeSpec(MergeSpec):
    """A named merge."""

    version: Version
    """Version of this file's format."""
    name: str = ""
    """The file's name without .yaml; need not be given."""
    description: str = ""
    """What the merge is for, in a sentence."""
    sources: Annotated[tuple[SourceSpec, ...], Field(min_length=1)]
    """The specialists; their order does not matter."""
    seed: Seed = 0
    """Seed of methods that draw at random."""

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[SourceSpec, ...]) -> tuple[SourceSpec, ...]:
        names = [source.domain for source in sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise wrong(f"{', '.join(twice)} occurs twice when each specialist should occur once")
        return sources
