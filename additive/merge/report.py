"""What a merge wrote, and what the output's dtype rounded away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from additive.types.digests import Digest, TensorLeaf, weights_digest


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
