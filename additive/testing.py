"""The laws of a merge method, for authors of plug-ins.

    from additive.testing import check_merge_method

    def test_my_method():
        check_merge_method(MyMethod(density=0.3))

Every built-in passes the same laws (tests/laws/).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from additive.deltas.model import Delta, Dense, LowRank
from additive.merge.apply import as_delta, is_blockwise, surveyed
from additive.merge.method import DeltaStack, Draws, MergeMethod
from additive.merge.recipe import method_parameters

SHAPES = ((24, 16), (16, 40), (33,))


_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


def check_merge_method(method: MergeMethod, sources: int = 3, seed: int = 0) -> None:
    """Run every law on random parameters, low-rank and dense.

    declared      a frozen dataclass with a known scope and plain parameters
    pure          the same stack gives the same bits, and is not changed
    zero          zero deltas give exactly zero
    shape         the result has the parameter's shape, is finite, and of no less than float32
    factor=dense  s·B·A as factors or as a tensor gives the same result, unless
                  `dense_differs` or `needs_factors`
    permutation   the order of sources changes nothing beyond rounding
    blocks        a method that may be called on rows gives the same bits on rows as on the whole
    linear        methods with `is_linear`: one source at weight 1 is itself, sums add up
    orthogonal    methods with `sums_orthogonal`: sources without a row or column in common, and
                  vectors, are added up by their weights

    Raises: AssertionError naming the law, the parameter's shape and what differs.
    """
    check_declaration(method)
    for law in (_pure, _zero, _shape, _factors, _permutation, _blocks, _linear, _orthogonal):
        for number, shape in enumerate(_shapes(method)):
            stack = random_stack(shape, sources, seed + number)
            if method.needs_grams:
                stack = with_grams(stack, seed)
            law(_Checked(method, law.__name__.strip("_"), shape), stack)


def _shapes(method: MergeMethod) -> tuple[tuple[int, ...], ...]:
    """Vectors have no factors, so a method that needs them sees matrices only."""
    if not _needs_factors(method):
        return SHAPES
    return tuple(shape for shape in SHAPES if len(shape) == 2)


def _needs_factors(method: MergeMethod) -> bool:
    return method.needs_factors


def check_declaration(method: MergeMethod) -> None:
    """Refuse a method that is no frozen dataclass, has no scope, or has parameters that YAML
    cannot say.

    Raises: AssertionError.
    """
    name = type(method).__name__
    _require(not isinstance(method, type), f"{method} is a class; expected a method of it")
    _require(isinstance(method, MergeMethod), f"{name} does not inherit from MergeMethod")
    _require(dataclasses.is_dataclass(method), f"{name} is no dataclass")
    frozen = getattr(type(method), "__dataclass_params__", None)
    _require(bool(frozen and frozen.frozen), f"{name} is not frozen")
    scope = getattr(method, "scope", None)
    _require(scope in ("element", "parameter", "model"), f"{name}.scope is {scope!r}")
    if scope == "model":
        _require(method.has_survey, f"{name} has no survey")
    for key, value in method_parameters(method).items():
        plain = isinstance(value, bool | int | float | str)
        _require(plain, f"parameter {key} of {name} is a {type(value).__name__}, not a plain value")


def random_stack(shape: tuple[int, ...], sources: int, seed: int) -> DeltaStack:
    """A random parameter with one delta per source: low-rank for matrices, dense for the rest."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator) * 0.02

    def delta() -> Delta:
        if len(shape) != 2:
            return Dense(draw(*shape))
        return LowRank(10 * draw(shape[0], 4), 10 * draw(4, shape[1]), 0.5)

    digests = tuple(f"{number:064x}" for number in range(1, sources + 1))
    weights = tuple(1.0 - 0.2 * number for number in range(sources))
    deltas = tuple(delta() for _ in range(sources))
    base = draw(*shape) + 0.1
    return DeltaStack(
        "layer.weight",
        base,
        deltas,
        digests,
        weights,
        Draws(seed, "layer.weight"),
        sources,
        sum(weights),
    )


def with_grams(stack: DeltaStack, seed: int) -> DeltaStack:
    """The stack with second moments of random inputs along its stacked A, one per source."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.cat([delta.A for delta in _low_rank(stack)]).double()
    inputs = [
        torch.randn(50, stack.shape[1], generator=generator).double() @ directions.T
        for _ in stack.deltas
    ]
    return replace(stack, grams=tuple(seen.T @ seen / len(seen) for seen in inputs))


@dataclass(frozen=True)
class _Checked:
    """A method under one law."""

    method: MergeMethod
    law: str
    shape: tuple[int, ...]

    def merge(self, stack: DeltaStack) -> Tensor:
        prepared = self.concluded(stack)
        return as_delta(self.method.merge(prepared), stack, self.method).dense()

    def concluded(self, stack: DeltaStack) -> DeltaStack:
        method: Any = self.method
        if method.scope == "model":
            return replace(stack, survey=method.conclude({stack.name: method.survey(stack)}))
        return surveyed(method, stack)

    def same(self, found: Tensor, expected: Tensor, what: str) -> None:
        _require(torch.equal(found, expected), self._say(what, found, expected))

    def close(self, found: Tensor, expected: Tensor, what: str) -> None:
        near = torch.allclose(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE)
        _require(near, self._say(what, found, expected))

    def _say(self, what: str, found: Tensor, expected: Tensor) -> str:
        apart = (found - expected).abs().max().item() if found.shape == expected.shape else "shape"
        return (
            f"{type(self.method).__name__} breaks the law `{self.law}` on shape {list(self.shape)}:"
            f" {what} (largest difference {apart})"
        )


def _pure(check: _Checked, stack: DeltaStack) -> None:
    before = [
        (d.B.clone(), d.A.clone()) if isinstance(d, LowRank) else d.dense().clone()
        for d in stack.deltas
    ]
    torch.manual_seed(1)
    first = check.merge(stack)
    torch.manual_seed(2)
    check.same(check.merge(stack), first, "the same stack gives other bits the second time")
    for kept, delta in zip(before, stack.deltas, strict=True):
        now = (delta.B, delta.A) if isinstance(delta, LowRank) else (delta.dense(),)
        for old, new in zip(kept if isinstance(kept, tuple) else (kept,), now, strict=True):
            check.same(new, old, "an input was changed")


def _zero(check: _Checked, stack: DeltaStack) -> None:
    if _needs_factors(check.method):
        nothing = _with(stack, [LowRank(d.B, d.A, 0.0) for d in _low_rank(stack)])
    else:
        nothing = _with(stack, [Dense(torch.zeros(stack.shape)) for _ in stack.deltas])
    check.same(check.merge(nothing).abs(), torch.zeros(stack.shape), "zero deltas do not give zero")


def _shape(check: _Checked, stack: DeltaStack) -> None:
    result: object = check.method.merge(check.concluded(stack))
    narrow = isinstance(result, Tensor) and result.dtype not in (torch.float32, torch.float64)
    _require(not narrow, f"{type(check.method).__name__} gives numbers narrower than float32")
    merged = check.merge(stack)
    _require(tuple(merged.shape) == stack.shape, f"shape {list(merged.shape)} of {check.shape}")
    _require(
        bool(torch.isfinite(merged).all()), f"{type(check.method).__name__} gives NaN or infinity"
    )


def _factors(check: _Checked, stack: DeltaStack) -> None:
    if check.method.dense_differs or _needs_factors(check.method):
        return
    dense = _with(stack, [Dense(delta.dense()) for delta in stack.deltas])
    check.close(
        check.merge(stack), check.merge(dense), "factors give another result than dense deltas"
    )


def _permutation(check: _Checked, stack: DeltaStack) -> None:
    other = replace(
        stack,
        deltas=stack.deltas[::-1],
        sources=stack.sources[::-1],
        weights=stack.weights[::-1],
        grams=_reversed_grams(stack),
    )
    check.close(check.merge(other), check.merge(stack), "the order of sources changes the result")


def _reversed_grams(stack: DeltaStack) -> tuple[Tensor, ...]:
    """Grams of the reversed stack: their rows and columns follow the stacked A."""
    if not stack.grams:
        return ()
    ranks = [delta.rank for delta in _low_rank(stack)]
    parts = torch.arange(sum(ranks)).split(ranks)
    order = torch.cat(parts[::-1])
    return tuple(gram[order][:, order] for gram in stack.grams[::-1])


def _blocks(check: _Checked, stack: DeltaStack) -> None:
    if not is_blockwise(check.method) or len(stack.shape) != 2:
        return
    whole = _with(stack, [Dense(delta.dense()) for delta in stack.deltas])
    prepared = check.concluded(whole)
    blocks = [prepared.rows(start, start + 8) for start in range(0, stack.shape[0], 8)]
    rows = [as_delta(check.method.merge(block), block, check.method).dense() for block in blocks]
    check.same(
        torch.cat(rows), check.merge(whole), "blocks of rows give another result than the whole"
    )


def _linear(check: _Checked, stack: DeltaStack) -> None:
    if not check.method.is_linear:
        return
    for delta, source in zip(stack.deltas, stack.sources, strict=True):
        alone = _only(stack, delta, source)
        check.close(check.merge(alone), delta.dense(), "one source at weight 1 is not itself")
    even = replace(stack, weights=(1.0,) * stack.count, total=float(stack.count))
    parts = sum((delta.dense() for delta in stack.deltas), torch.zeros(stack.shape))
    merged = check.merge(even)
    share = (merged * parts).sum() / (parts * parts).sum()
    check.close(merged, parts * share, "the merge is no multiple of the sum of the deltas")


def _orthogonal(check: _Checked, stack: DeltaStack) -> None:
    if not check.method.sums_orthogonal:
        return
    apart = stack if len(stack.shape) == 1 else _with(stack, _apart(stack))
    terms = zip(apart.weights, apart.deltas, strict=True)
    total = sum((w * delta.dense() for w, delta in terms), torch.zeros(stack.shape))
    check.close(check.merge(apart), total, "sources that have nothing in common are not summed")


def _apart(stack: DeltaStack) -> list[LowRank]:
    """The stack's factors, each on rows and columns of its own."""
    rows, columns = (torch.arange(size) % stack.count for size in stack.shape)
    return [
        LowRank(delta.B * (rows == place)[:, None], delta.A * (columns == place), delta.scale)
        for place, delta in enumerate(_low_rank(stack))
    ]


def _low_rank(stack: DeltaStack) -> list[LowRank]:
    return [delta for delta in stack.deltas if isinstance(delta, LowRank)]


def _with(stack: DeltaStack, deltas: list[Any]) -> DeltaStack:
    return replace(stack, deltas=tuple(deltas))


def _only(stack: DeltaStack, delta: Delta, source: str) -> DeltaStack:
    return replace(stack, deltas=(delta,), sources=(source,), weights=(1.0,), count=1, total=1.0)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
