"""`domains/<name>/domain.yaml`: what one skill is made of and when its training is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from additive.spec.fields import (
    Count,
    Dtype,
    Fraction,
    Seed,
    Share,
    Spec,
    Text,
    Version,
    should,
    wrong,
)

LORA_RATE = 2e-4


FULL_RATE = 2e-5


RECALL_SHARE = 0.5


_OF_TRAINING = ("adapt", "train", "recall", "saturation", "snapshots")


class DataSpec(Spec):
    """The rows of a domain; paths are relative to the domain's directory."""

    train: tuple[Text, ...] = ("train.jsonl",)
    """Files of training rows, JSON lines; none in an adopted domain."""
    validation: tuple[Text, ...] = ("validation.jsonl",)
    """Files of validation rows: they decide saturation and every search, and are never
    trained on. An adopted domain may have none."""
    format: Literal["auto", "prompt-completion", "messages", "alpaca", "sharegpt"] = "auto"
    """How a row is written; `auto` looks at the keys of the first row and reports what it found."""
    license: Text | None = None
    """SPDX name of the data's license, recorded in the manifest."""


class LoraSpec(Spec):
    """A low-rank delta s·B·A on the linear layers, frozen as a PEFT adapter."""

    kind: Literal["lora"] = "lora"
    """`lora` trains a low-rank adapter, `full` every weight."""
    rank: Count = 8
    """Rows of A and columns of B."""
    alpha: Annotated[float, Field(gt=0)] = Field(
        default_factory=lambda seen: 2.0 * seen.get("rank", 8)
    )
    """Scaling: s = alpha / rank, or alpha / √rank with `rslora`; twice the rank when not given."""
    dropout: Share = 0.0
    """Share of the adapter's inputs that is zeroed while training."""
    targets: Literal["all-linear"] | Annotated[tuple[Text, ...], Field(min_length=1)] = "all-linear"
    """Module names to adapt, or `all-linear`; every domain should use the same ones."""
    rslora: bool = False
    """Rank-stabilised scaling, s = alpha / √rank."""
    init: Literal["default", "gaussian", "orthogonal"] = "default"
    """How A starts; its seed comes from the domain's name. Starts that edit the base (PiSSA,
    OLoRA) do not add."""


class FullSpec(Spec):
    """A full fine-tune: every weight is trained, and the delta is the difference to the base."""

    kind: Literal["full"]
    """`lora` trains a low-rank adapter, `full` every weight."""


class TrainSpec(Spec):
    """The optimizer and its batches."""

    learning_rate: Annotated[float, Field(gt=0)] = LORA_RATE
    """Learning rate, held constant until saturation; 2e-4 for lora and 2e-5 for full when not
    given."""
    batch_size: Count = 32
    """Rows per optimizer step, over all devices."""
    micro_batch_size: Count | None = None
    """Rows in one forward pass; when not given, as many as have 16 384 tokens. Does not change the
    result beyond rounding."""
    max_length: Count = 1024
    """Tokens per row; longer rows are truncated or dropped, counted either way."""
    warmup: Annotated[int, Field(ge=0)] = 10
    """Steps over which the rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""
    seed: Seed = 0
    """Seed of the order of the rows and, with the domain's name, of A."""
    dtype: Dtype = "auto"
    """Numbers to train in; `auto` takes float32 on a CPU and bfloat16 on CUDA."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes CUDA when it is there."""


class RecallSpec(Spec):
    """Rows of the base's own skills, mixed into the domain's so that its delta stays quiet
    elsewhere."""

    share: Share | None = None
    """Share of every batch that is recall; when not given 0.5 if the base has recall
    rows, else 0."""
    rows: Count | None = None
    """Most recall rows to use; all of them when not given."""

    def resolved_share(self, available: bool) -> float:
        """The share to train with, given whether the base comes with recall rows."""
        if self.share is not None:
            return self.share
        return RECALL_SHARE if available else 0.0


class SaturationSpec(Spec):
    """When training is done: the upper bound of the gain that is still to come is below
    `min_gain`."""

    eval_steps: Count = 50
    """Steps between evaluations on validation rows."""
    min_gain: Fraction = 0.01
    """Gain over the next `horizon` evaluations that would still be worth it, as a fraction of the
    items (δ)."""
    horizon: Count = 4
    """Evaluations that the remaining gain is projected over."""
    window: Annotated[int, Field(ge=3)] = 8
    """Latest evaluations that the projection is fitted to."""
    min_evals: Annotated[int, Field(ge=2)] = 8
    """Evaluations before anything is declared."""
    max_steps: Count = 10_000
    """Budget: training ends here, saturated or not, and says so."""
    decay_steps: Annotated[int, Field(ge=0)] = 50
    """Steps over which the rate decays to zero after saturation; the plateau is the end of it."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the one-sided upper bound."""

    @model_validator(mode="after")
    def _window_fits(self) -> SaturationSpec:
        if self.window > self.min_evals:
            raise wrong(f"window is {self.window}; expected at most min_evals ({self.min_evals})")
        return self


class DomainSpec(Spec):
    """One domain: data, adaptation, training, and the rule that ends it."""

    version: Version
    """Version of this file's format."""
    name: str = ""
    """The directory's name; need not be given."""
    description: str = ""
    """What the skill is, in a sentence."""
    system: Text | None = None
    """System message put before every prompt of the domain, in training and evaluation."""
    grader: Text = "exact"
    """Grader of answers that are generated while the domain trains, for validation rows with an
    `answer` and no grader of their own: numeric, literal, exact, choice, refusal or format."""
    data: DataSpec = DataSpec()
    """Training and validation rows."""
    adopted: bool = False
    """Whether its specialist was trained elsewhere and taken in by `additive adopt`; then nothing
    here trains it, and it needs no rows."""
    adapt: Annotated[LoraSpec | FullSpec, Field(discriminator="kind")] = LoraSpec()
    """What is trained: a low-rank adapter or every weight."""
    train: TrainSpec = TrainSpec()
    """Optimizer and batches."""
    recall: RecallSpec = RecallSpec()
    """The base's own rows, mixed in."""
    saturation: SaturationSpec = SaturationSpec()
    """The rule that ends training."""
    snapshots: Annotated[tuple[float, ...], Field(min_length=1)] = (0.25, 0.5, 0.75, 1.0)
    """Fractions of the plateau step that are kept (lora); 1.0 is always kept, up to 1.5 may be
    asked for."""

    @model_validator(mode="before")
    @classmethod
    def _rows_of_an_adopted_one(cls, values: Any) -> Any:
        """An adopted domain has no rows unless it names some."""
        if not isinstance(values, Mapping) or values.get("adopted") is not True:
            return values
        unused = [key for key in _OF_TRAINING if key in values]
        if unused:
            raise wrong(f"{unused[0]} cannot be used in an adopted domain: it is not trained here")
        data = values.get("data", {})
        if not isinstance(data, Mapping):
            return values
        return {**values, "data": {"train": (), "validation": (), **data}}

    @model_validator(mode="after")
    def _has_rows(self) -> DomainSpec:
        for split, files in (("train", self.data.train), ("validation", self.data.validation)):
            if not files and not self.adopted:
                raise wrong(f"data.{split} is empty; expected at least one file")
        if self.adopted and self.data.train:
            raise wrong("data.train cannot be used in an adopted domain: it is not trained here")
        return self

    @model_validator(mode="before")
    @classmethod
    def _lora_when_unsaid(cls, values: Any) -> Any:
        adapt = values.get("adapt") if isinstance(values, Mapping) else None
        if not isinstance(adapt, Mapping) or "kind" in adapt:
            return values
        return {**values, "adapt": {"kind": "lora", **adapt}}

    @model_validator(mode="before")
    @classmethod
    def _rate_of_kind(cls, values: Any) -> Any:
        """Full fine-tunes start from a lower rate; it is filled in here so that a manifest records
        it."""
        if not isinstance(values, Mapping) or not isinstance(values.get("adapt"), Mapping):
            return values
        train = values.get("train", {})
        if (
            values["adapt"].get("kind") != "full"
            or not isinstance(train, Mapping)
            or "learning_rate" in train
        ):
            return values
        return {**values, "train": {**train, "learning_rate": FULL_RATE}}

    @field_validator("snapshots")
    @classmethod
    def _fractions(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < value <= 1.5 for value in values):
            raise should("fractions in (0, 1.5]")
        if list(values) != sorted(set(values)):
            raise should("fractions in rising order, each once")
        return values if 1.0 in values else tuple(sorted({*values, 1.0}))
