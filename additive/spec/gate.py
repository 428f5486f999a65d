"""The rule a suite is judged by, shared by suites and the workspace's policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from additive.spec.model import Fraction, Spec, wrong

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
