"""`evals/<suite>.yaml`: held-out items and the rule they are judged by.

The rule a suite is judged by, shared by suites and the workspace's policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from additive.spec.fields import Count, Fraction, Seed, Spec, Text, Version, wrong

DEFAULT_MARGIN = 0.05


class GateSpec(Spec):
    """What may be lost. Either `margin` (an absolute fraction) or `retain` (a share of the
    specialist's gain)."""

    margin: Fraction | None = None
    """Loss that is allowed: pass needs the interval of merged − reference above −margin. 0.05
    without `retain`."""
    retain: Fraction | None = None
    """Share of the specialist's gain over the base that must be kept; takes the place
    of `margin`."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """One-sided error; 0.05 gives the two-sided 90 % interval."""
    exact_guard: bool = True
    """With fewer than 5 items won, ask the exact binomial test on the lost ones too."""

    @model_validator(mode="before")
    @classmethod
    def _one_rule(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        given = [key for key in ("margin", "retain") if values.get(key) is not None]
        if len(given) == 2:
            raise wrong("margin and retain are both given when one of them should be")
        return values if given else {**values, "margin": DEFAULT_MARGIN}


class TaskSpec(Spec):
    """Items asked and graded alike: a JSON-lines file beside the suite, or a task of lm-eval by
    name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
    """Name of the task in records and reports."""
    data: Text | None = None
    """JSON-lines file of items, relative to evals/; each has id and prompt."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the data file must have."""
    lm_eval: Text | None = None
    """A task of lm-eval by name, or its YAML file relative to evals/; takes the place of `data`."""
    metric: Text | None = None
    """The lm-eval task's metric that counts; needed when it has several."""
    filter: Text | None = None
    """The lm-eval task's filter that counts; needed when it has several."""
    grader: Text = "exact"
    """How an answer is graded: numeric, literal, exact, choice, code, refusal or format; an item
    may say its own."""
    kind: Literal["generate", "cloze"] = "generate"
    """`generate` asks for an answer; `cloze` compares the log-likelihoods of an item's choices."""
    normalize: Literal["none", "bytes"] = "none"
    """For `cloze`: compare choices by their log-likelihood as it is, or per byte of their text."""
    prompt: Text | None = None
    """Template over an item's fields, such as `Question: {prompt}`; the item's prompt as it is
    when not given."""
    system: Text | None = None
    """System message put before every prompt."""
    max_tokens: Count = 64
    """Most tokens to generate."""
    confirm_unsafe: bool = False
    """Agree to running code of this lm-eval task outside the sandbox; our own code grader never
    needs it."""

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            given = [key for key in ("data", "lm_eval") if values.get(key) is not None]
            if len(given) != 1:
                raise wrong(
                    "data and lm_eval are both given when one of them should be"
                    if given
                    else "data is missing; expected data or lm_eval"
                )
        return values


class SuiteSpec(Spec):
    """One regression suite. A target is compared with its domain's specialist, a guard with the
    base."""

    version: Version
    """Version of this file's format."""
    name: str = ""
    """The file's name without .yaml; need not be given."""
    description: str = ""
    """What the suite asks, in a sentence."""
    domain: Text | None = None
    """The domain that must hold up here; none for a general guard."""
    role: Literal["target", "guard"] = Field(
        default_factory=lambda seen: "target" if seen.get("domain") else "guard"
    )
    """`target` with a domain and `guard` without one, when not given. A target of a domain that is
    not merged guards."""
    tasks: Annotated[tuple[TaskSpec, ...], Field(min_length=1)]
    """What is asked."""
    gate: GateSpec | None = None
    """The rule; the workspace's policy when not given."""
    sides: Annotated[dict[str, GateSpec], Field(min_length=2)] | None = None
    """For two-sided suites: a rule for each value of the items' `side`, judged apart (safety:
    refuse and comply)."""
    batch_size: Count = 32
    """Items per batch; part of the result's identity."""
    limit: Count | None = None
    """Use only this many items, drawn by `seed`; all of them when not given."""
    seed: Seed = 0
    """Seed of that draw."""

    @model_validator(mode="after")
    def _consistent(self) -> SuiteSpec:
        if self.role == "target" and self.domain is None:
            raise wrong("domain is missing; a target suite names the domain that it tests")
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise wrong("two tasks have one name when each should have its own")
        return self
