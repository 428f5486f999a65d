"""Every registered method passes every law, and each law catches the mistake it is there for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from additive.deltas.model import Dense, LowRank, combine
from additive.errors import UsageError
from additive.merge.apply import merged_delta
from additive.merge.method import MergeMethod
from additive.merge.methods import METHODS
from additive.merge.recipe import build_method
from additive.testing import check_merge_method, random_stack, with_grams

PARAMETERS = {
    "ties": [{}, {"density": 0.05}, {"density": 1.0}],
    "breadcrumbs": [{}, {"density": 0.4, "gamma": 0.3}],
    "consensus_ta": [{}, {"agreement": 1}],
    "core/dare_ties": [{}, {"density": 1.0}],
    "core/ties": [{}, {"density": 1.0}],
    "ctm": [{}, {"rank": 2, "density": 1.0, "beta": 0.0}],
    "dare_linear": [{}, {"density": 0.1}],
    "della": [{}, {"density": 0.5, "epsilon": 0.0}],
    "localize_and_stitch": [{}, {"density": 1.0}],
    "regmean": [{}, {"reduction": 0.0}, {"reduction": 1.0, "ridge": 0.0}],
    "swudi": [{}, {"steps": 1e6, "keep": 1.0}, {"keep": 0.2}],
    "svc": [{}, {"floor": 0.2}],
    "tsv_m": [{}, {"ridge": 0.0}],
    "dare_ties": [{}, {"density": 1.0}],
}
OURS = [name for name in METHODS.names() if not name.startswith("mergekit/")]
CASES = [(name, parameters) for name in OURS for parameters in PARAMETERS.get(name, [{}])]


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_method_keeps_the_laws(name, parameters):
    for sources in (1, 2, 5):
        check_merge_method(build_method(name, parameters), sources=sources, seed=sources)


WHOLE = {"density": 1.0}
ALONE = {name: {} for name in ("task_arithmetic", "linear", "tsv_m", "swudi", "svc", "pico")}
ALONE |= {"regmean": {}, "localize_and_stitch": WHOLE, "ctm": WHOLE}
for core in ("", "core/"):
    ALONE |= {f"{core}{name}": WHOLE for name in ("ties", "dare_linear", "dare_ties")}
    ALONE |= {f"{core}della": WHOLE | {"epsilon": 0.0}, f"{core}consensus_ta": {}}
    ALONE |= {f"{core}breadcrumbs": WHOLE | {"gamma": 0.0}}


def test_every_method_but_two_gives_a_lone_source_back():
    """`iso_c` flattens its spectrum; PEFT's own sum is measured elsewhere."""
    assert {*OURS} - {*ALONE} == {"iso_c", "peft_linear"}


@pytest.mark.parametrize("shape", [(24, 16), (6, 40)])
@pytest.mark.parametrize("name", ALONE)
def test_a_lone_source_at_weight_1_is_itself(name, shape):
    """Identity, with nothing trimmed or dropped."""
    method, stack = build_method(name, ALONE[name]), random_stack(shape, 1, seed=4)
    stack = with_grams(stack, 4) if getattr(method, "needs_grams", False) else stack
    merged, alone = merged_delta(method, stack, 1.0).dense(), stack.deltas[0].dense()
    torch.testing.assert_close(merged, alone, rtol=1e-4, atol=1e-5 * alone.abs().max().item())


SMALL = [(), (1,), (1, 1), (7, 1), (1, 7), (3, 1, 2), (2, 3, 1)]


@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("name", OURS)
def test_parameters_of_one_column_one_row_or_one_element(name, shape):
    """Where ranks in a row, spectra and thresholds have nothing to tell apart (mergekit's `della`
    divides 0 by 0 on a single column).
    """
    method = build_method(name)
    if getattr(method, "needs_factors", False) and len(shape) != 2:
        pytest.skip("it takes matrices of factors alone")
    stack = random_stack(shape, 3, seed=2)
    stack = with_grams(stack, 2) if getattr(method, "needs_grams", False) else stack
    merged = merged_delta(method, stack, 1.0).dense()
    assert merged.shape == shape
    assert merged.isfinite().all()


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "della"])
@pytest.mark.parametrize("core", ["", "core/"])
def test_shares_that_random_numbers_cannot_draw_are_refused(name, core):
    """Numbers of 24 bits keep one element in 2²⁴ at least; what is divided by less is too large."""
    tiny = {"epsilon": 0.0} if name == "della" else {}
    build_method(f"{core}{name}", {"density": 2.0**-24, **tiny})
    with pytest.raises(UsageError, match="density"):
        build_method(f"{core}{name}", {"density": 2.0**-25, **tiny})


@dataclass(frozen=True)
class Plain(MergeMethod):
    scope: ClassVar[str] = "element"
    is_linear: ClassVar[bool] = True

    def merge(self, stack):
        return combine(list(zip(stack.weights, stack.deltas, strict=True)))


class FactorWise(Plain):
    """PEFT's `linear`: A and B summed apart, (ΣB)(ΣA), which has cross terms."""

    def merge(self, stack):
        if not all(isinstance(delta, LowRank) for delta in stack.deltas):
            return super().merge(stack)
        B = sum(w**0.5 * d.B for w, d in zip(stack.weights, stack.deltas, strict=True))
        A = sum(w**0.5 * d.A for w, d in zip(stack.weights, stack.deltas, strict=True))
        return LowRank(B, A, stack.deltas[0].scale)


class KeepsFirst(Plain):
    is_linear = False

    def merge(self, stack):
        return stack.deltas[0]


class GlobalRandom(Plain):
    is_linear = False

    def merge(self, stack):
        return super().merge(stack).dense() * torch.rand(stack.shape)


class AddsSomething(Plain):
    is_linear = False

    def merge(self, stack):
        return super().merge(stack).dense() + 1e-9


class ChangesInput(Plain):
    is_linear = False

    def merge(self, stack):
        for delta in stack.deltas:
            if isinstance(delta, LowRank):
                delta.B.mul_(0.5)
        return super().merge(stack)


class SeesTheBlock(Plain):
    is_linear = False

    def merge(self, stack):
        total = super().merge(stack).dense()
        return total / (1.0 + total.abs().max())


class Averages(Plain):
    is_linear = False
    sums_orthogonal = True

    def merge(self, stack):
        return Dense(super().merge(stack).dense() / stack.count)


class Halved(Plain):
    is_linear = False

    def merge(self, stack):
        return super().merge(stack).dense().bfloat16()


class Transposes(Plain):
    def merge(self, stack):
        return super().merge(stack).dense().T.contiguous()


class Halves(Plain):
    def merge(self, stack):
        return Dense(super().merge(stack).dense() * 0.5)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (FactorWise, "factors"),
        (KeepsFirst, "permutation"),
        (GlobalRandom, "pure"),
        (AddsSomething, "zero"),
        (ChangesInput, "pure"),
        (SeesTheBlock, "blocks"),
        (Halves, "linear"),
        (Averages, "orthogonal"),
    ],
)
def test_a_law_catches(wrong, law):
    with pytest.raises(AssertionError, match=f"law `{law}`"):
        check_merge_method(wrong())


def test_a_wrong_shape_is_named():
    with pytest.raises(UsageError, match=r"Transposes.merge gave \[16, 24\]"):
        check_merge_method(Transposes())


def test_numbers_narrower_than_float32_are_named():
    with pytest.raises(AssertionError, match="Halved gives numbers narrower than float32"):
        check_merge_method(Halved())


def test_a_declaration_is_checked():
    class Loose(MergeMethod):
        scope = "element"

        def merge(self, stack):
            return stack.deltas[0]

    @dataclass
    class Thawed(MergeMethod):
        scope: ClassVar[str] = "element"

        def merge(self, stack):
            return stack.deltas[0]

    @dataclass(frozen=True)
    class Odd(Plain):
        scope: ClassVar[str] = "everything"

    @dataclass(frozen=True)
    class Unsayable(Plain):
        scope: ClassVar[str] = "element"
        parts: tuple = (1, 2)

    @dataclass(frozen=True)
    class Stranger:
        scope: ClassVar[str] = "element"

        def merge(self, stack):
            return stack.deltas[0]

    @dataclass(frozen=True)
    class Idle(MergeMethod):
        scope: ClassVar[str] = "element"

    with pytest.raises(AssertionError, match="is a class; expected a method of it"):
        check_merge_method(Stranger)
    with pytest.raises(TypeError, match="abstract method"):
        Idle()
    for wrong, what in (
        (Loose, "no dataclass"),
        (Thawed, "not frozen"),
        (Odd, "scope"),
        (Unsayable, "plain"),
        (Stranger, "does not inherit from MergeMethod"),
    ):
        with pytest.raises(AssertionError, match=what):
            check_merge_method(wrong())
