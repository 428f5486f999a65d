"""A mergekit YAML, as mergekit 0.1.5 reads it; what cannot be executed is refused at its place.

    merge_method: ties
    base_model: org/base
    models:
      - {model: math, parameters: {weight: 1.0, density: [0.2, 0.5, 0.2]}}
      - {model: org/base+saves/code-lora, parameters: {weight: 0.7, density: 0.3}}
    parameters: {normalize: true}
    dtype: float32
    out_dtype: bfloat16

Values of parameters are late-bound: only mergekit's methods know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from additive.spec.fields import Spec, Text, should, wrong
from additive.spec.yaml import Located, Node, YamlPath

KitDtype = Literal["float32", "bfloat16", "float16"]


_MARKS = ("merge_method", "slices", "models", "modules")


_NOTHING = Located.of({})


def is_mergekit(root: Node) -> bool:
    """Whether a file is mergekit's: it has mergekit's keys and not `sources`, which ours has."""
    return root.child("sources") is None and any(root.child(key) for key in _MARKS)


def _span(value: Any) -> Any:
    if not isinstance(value, tuple) or len(value) != 2 or not all(type(n) is int for n in value):
        raise should("two whole numbers: the first layer, and the one after the last")
    if not 0 <= value[0] < value[1]:
        raise should("a range that rises, such as [0, 16]")
    return value


def _settings(value: Any) -> Any:
    """A block of parameters; an empty one, whose lines are comments, says none."""
    if value is None:
        return _NOTHING
    if not isinstance(value, Mapping | Located):
        raise should("a mapping of the method's parameters")
    return value


Settings = Annotated[Located, BeforeValidator(_settings)]


class KitModelSpec(Spec):
    """A model of the merge with its own parameters."""

    model: Text
    """A specialist, a directory, a Hub id, or base+adapter."""
    parameters: Settings = _NOTHING
    """The method's parameters for this model."""


class KitSliceSourceSpec(KitModelSpec):
    """Layers of one model."""

    layer_range: tuple[int, int]
    """First layer, and the one after the last."""

    _is_span = field_validator("layer_range", mode="before")(_span)


class KitSliceSpec(Spec):
    """Consecutive layers of the output."""

    sources: Annotated[tuple[KitSliceSourceSpec, ...], Field(min_length=1)]
    """Where they come from; each range is equally long."""
    base_model: Text | None = None
    """The base of these layers; the file's when not given."""
    parameters: Settings = _NOTHING
    """The method's parameters for these layers."""

    @model_validator(mode="after")
    def _equally_long(self) -> KitSliceSpec:
        lengths = {s.layer_range[1] - s.layer_range[0] for s in self.sources}
        if len(lengths) > 1:
            raise wrong("the sources of a slice have different numbers of layers")
        _each_once([source.model for source in self.sources])
        return self


class KitTokenizerSpec(Spec):
    """Where the tokenizer comes from."""

    source: Text = "union"
    """`union`, `base` or a model; all vocabularies are the base's."""
    pad_to_multiple_of: int | None = None
    """Rows of the embedding are padded to a multiple of this."""


class MergekitSpec(Spec):
    """One mergekit configuration."""

    merge_method: Text
    """A method of mergekit's registry."""
    base_model: Text | None = None
    """The base; it must be the workspace's."""
    models: Annotated[tuple[KitModelSpec, ...], Field(min_length=1)] | None = None
    """Whole models to merge."""
    slices: Annotated[tuple[KitSliceSpec, ...], Field(min_length=1)] | None = None
    """The output, slice by slice."""
    parameters: Settings = _NOTHING
    """The method's parameters for everything."""
    dtype: KitDtype | None = None
    """Numbers of the output, when `out_dtype` is not given; sums are always float32."""
    out_dtype: KitDtype | None = None
    """Numbers of the output; the base's when neither is given."""
    tokenizer_source: Text | None = None
    """`union`, `base` or a model; all vocabularies are the base's."""
    tokenizer: KitTokenizerSpec | None = None
    """The same as a block."""
    chat_template: Text | None = None
    """`auto`, the name of one of mergekit's templates, or a Jinja template."""

    @model_validator(mode="before")
    @classmethod
    def _executable(cls, values: Any, info: ValidationInfo) -> Any:
        if isinstance(values, Mapping):
            if "modules" in values:
                raise wrong("modules is not executed here; write `models` or `slices`")
            given = [key for key in ("models", "slices") if values.get(key)]
            if len(given) != 1:
                raise wrong("exactly one of models and slices should be given")
            if values.get("tokenizer_source") and values.get("tokenizer"):
                raise wrong("tokenizer_source and tokenizer are both given")
        return values

    @model_validator(mode="after")
    def _once(self) -> MergekitSpec:
        _each_once([model.model for model in self.models or ()])
        return self

    @property
    def output_dtype(self) -> str:
        """Numbers of the output: `auto`, or a dtype's name."""
        return self.out_dtype or self.dtype or "auto"

    @property
    def vocabulary(self) -> str | None:
        """Where the tokenizer comes from, whichever key says it."""
        return self.tokenizer.source if self.tokenizer else self.tokenizer_source

    def mentions(self) -> tuple[tuple[str, YamlPath], ...]:
        """Every place that names a model, as (text, path of the key), the base first."""
        said: list[tuple[str, YamlPath]] = []
        if self.base_model:
            said.append((self.base_model, ("base_model",)))
        for i, model in enumerate(self.models or ()):
            said.append((model.model, ("models", i, "model")))
        for i, piece in enumerate(self.slices or ()):
            if piece.base_model:
                said.append((piece.base_model, ("slices", i, "base_model")))
            said += [
                (source.model, ("slices", i, "sources", j, "model"))
                for j, source in enumerate(piece.sources)
            ]
        return tuple(said)

    def bases(self) -> tuple[tuple[str, YamlPath], ...]:
        """The places that name a base."""
        return tuple(said for said in self.mentions() if said[1][-1] == "base_model")


def _each_once(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise wrong(f"{', '.join(twice)} occurs twice when each model should occur once")
