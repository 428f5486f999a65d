"""A planned merge and what it wrote: plain records, apart from the functions that make them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from additive.merge.recipe import BuiltRecipe
from additive.tensors.header import ITEM_BYTES
from additive.types.digests import Digest, TensorLeaf, digest_json, weights_digest


@dataclass(frozen=True)
class Written:
    """One tensor that is in its file: its leaf, and ‖Δ‖² and the rounded-away ‖·‖² of its rows."""

    leaf: TensorLeaf
    delta_square: float = 0.0
    lost_square: float = 0.0


@dataclass(frozen=True)
class MergeReport:
    """What a merge wrote.

    leaves        of every tensor of the output, so that freezing need not read it again
    weights       their digest
    rounded_away  ‖round(W+Δ)−W−Δ‖/‖Δ‖ over all touched parameters, [0, 1]; `by_parameter` for each
    norms         ‖Δ‖ of each touched parameter, as merged
    notes         what is worth knowing beyond the plan's own notes
    energy        of an adapter cut to a rank the share of ‖Δ‖² that each parameter kept, [0, 1]
    """

    leaves: tuple[TensorLeaf, ...]
    weights: Digest
    rounded_away: float
    by_parameter: dict[str, float]
    norms: dict[str, float]
    bytes_written: int
    notes: tuple[str, ...] = ()
    energy: dict[str, float] = field(default_factory=dict)


def summarise(written: Sequence[Written], bytes_written: int) -> MergeReport:
    """Sum up what every tensor's writing found, in the order of the output."""
    touched = [one for one in written if one.delta_square > 0]
    delta = sum(one.delta_square for one in touched)
    lost = sum(one.lost_square for one in touched)
    leaves = tuple(one.leaf for one in written)
    return MergeReport(
        leaves=leaves,
        weights=weights_digest(leaves),
        rounded_away=(lost / delta) ** 0.5 if delta else 0.0,
        by_parameter={o.leaf.name: (o.lost_square / o.delta_square) ** 0.5 for o in touched},
        norms={one.leaf.name: one.delta_square**0.5 for one in touched},
        bytes_written=bytes_written,
    )


DTYPES = {"auto": None, "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


# Bump when the same recipe gives other bytes than before, so that no old result is taken for a
# new one.
ENGINE = 6


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the output: copied when no source trained it, and dtype and rows stay."""

    name: str
    shard: str
    shape: tuple[int, ...]
    base_dtype: str
    dtype: str
    sources: tuple[str, ...]
    resized: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes in the output."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def action(self) -> str:
        """`copy`, `cast` or `merge`."""
        if self.sources:
            return "merge"
        return "copy" if self.dtype == self.base_dtype and not self.resized else "cast"


@dataclass(frozen=True)
class Plan:
    """A checked merge.

    base_digest    of the base's identity, or of its headers where it has none
    tensors        of a checkpoint, in the base's order; none of an adapter
    merged         how many parameters are computed from sources
    untied_heads   heads that a source trained apart from the embedding they are tied to
    rule_counts    how many parameters each of the recipe's rules decides
    read, written  bytes; `memory` an upper estimate of anonymous memory over the imports, in bytes
    """

    recipe: BuiltRecipe
    base_directory: Path
    base_id: str
    base_digest: Digest
    tensors: tuple[PlannedTensor, ...]
    untied_heads: tuple[str, ...]
    read: int
    written: int
    memory: int
    notes: tuple[str, ...] = ()
    rule_counts: tuple[int, ...] = ()
    merged: int = 0

    @property
    def digest(self) -> Digest:
        """What decides the bytes of the output: engine, base and recipe."""
        recipe = self.recipe.resolved()
        return digest_json({"engine": ENGINE, "base": self.base_digest, "recipe": recipe})

    def at_scale(self, scale: float) -> Plan:
        """The same merge at another scale, on which nothing else in a plan depends."""
        return replace(self, recipe=self.recipe.at_scale(scale))

    @property
    def touched(self) -> tuple[PlannedTensor, ...]:
        """The tensors that are computed from sources."""
        return tuple(tensor for tensor in self.tensors if tensor.sources)
