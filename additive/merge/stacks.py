"""From opened sources to the stacks of a merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from additive.deltas.base import Base
from additive.deltas.names import is_matrix
from additive.deltas.placed import placed
from additive.deltas.source import DeltaSource
from additive.errors import CompatibilityError, UsageError
from additive.merge.draws import Draws
from additive.merge.layers import layers_of
from additive.merge.stack import DeltaStack
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest


@dataclass(frozen=True, eq=False)
class Sources:
    """A base with its sources in summing order, and whether its tied pair has to be split.

    weights  by source
    owned    by source: the base's name of each trained parameter → the name to ask the source for
    untied   the aliases that become parameters of their own in the output
    grams    by source its file of Grams; empty where no method needs any
    device   where parameters are merged
    layers   (index, number of layers) of the parameters that lie in one
    """

    base: Base
    sources: tuple[DeltaSource, ...]
    weights: tuple[float, ...]
    owned: tuple[Mapping[str, str], ...]
    untied: tuple[str, ...]
    layers: Mapping[str, tuple[int, int]]
    grams: tuple[Checkpoint, ...] = ()
    device: str = "cpu"

    def parameters(self) -> tuple[str, ...]:
        """Every parameter that some source trained, in the base's order."""
        return tuple(n for n in self.base.names() if any(n in owned for owned in self.owned))

    def touching(self, name: str) -> tuple[int, ...]:
        """The positions of the sources that trained a parameter."""
        return tuple(i for i, owned in enumerate(self.owned) if name in owned)

    def ranks(self, name: str) -> tuple[int | None, ...]:
        """The rank of every touching source's factors, None for a delta without; from headers."""
        return tuple(self.sources[i].rank(self.owned[i][name]) for i in self.touching(name))

    def stack(self, name: str, seed: int) -> DeltaStack:
        """The stack of one parameter; factors are read, everything else stays mapped. On another
        device than the processor all of it is there.
        """
        positions, base = self.touching(name), self.base.tensor(name).to(self.device)
        deltas = (self.sources[i].delta(self.owned[i][name]) for i in positions)
        return DeltaStack(
            name=name,
            base=base,
            deltas=tuple(placed(delta, base) for delta in deltas),
            sources=tuple(self.sources[i].digest for i in positions),
            weights=tuple(self.weights[i] for i in positions),
            rng=Draws(seed, name),
            count=len(self.sources),
            total=sum(self.weights),
            layer=self.layers.get(name),
            grams=self._grams(name),
            inputs="rows" if self.orientation(name) in ("conv1d", "embedding") else "columns",
        )

    def fits(self, name: str) -> bool:
        """Whether it is a matrix, or fused experts of each of which every source has factors."""
        targets = [self.sources[i].target(self.owned[i][name]) for i in self.touching(name)]
        fused = all(target and target.slot and target.slot.experts > 1 for target in targets)
        return is_matrix(name, self.base.shape(name)) or fused

    def orientation(self, name: str) -> str | None:
        """How a parameter lies in its module, as PEFT sees it; None where no source has factors."""
        targets = (self.sources[i].target(self.owned[i][name]) for i in self.touching(name))
        return next((target.orientation for target in targets if target is not None), None)

    def _grams(self, name: str) -> tuple[Tensor, ...]:
        touching = [self.grams[i] for i in self.touching(name)] if self.grams else []
        return tuple(grams.tensor(name).to(self.device) for grams in touching if name in grams)

    def close(self) -> None:
        """Let go of all files."""
        for source in (*self.sources, *self.grams):
            source.close()
        self.base.close()


def gather(
    base: Base,
    sources: Sequence[DeltaSource],
    weights: Sequence[float],
    grams: Mapping[Digest, Path] | None = None,
    device: str = "cpu",
) -> Sources:
    """Put sources in the order of their digests; see whether a tied pair must be split."""
    pairs = sorted(zip(sources, weights, strict=True), key=lambda pair: pair[0].digest)
    ordered = tuple(source for source, _ in pairs)
    shared = [
        {alias: source.shares(alias, stored) for alias, stored in base.aliases.items()}
        for source in ordered
    ]
    untied = tuple(alias for alias in base.aliases if not all(by[alias] for by in shared))
    owned = tuple(
        _owned(base, source, by, untied) for source, by in zip(ordered, shared, strict=True)
    )
    weighted = tuple(float(weight) for _, weight in pairs)
    files = tuple(open_file(grams[source.digest]) for source in ordered) if grams else ()
    layers = layers_of(base.names())
    return Sources(base, ordered, weighted, owned, untied, layers, files, device)


def _owned(
    base: Base, source: DeltaSource, shared: Mapping[str, bool], untied: tuple[str, ...]
) -> dict[str, str]:
    """In a pair that others split, a source that is still tied gives its embedding's delta to the
    head.
    """
    owned = {name: name for name in source.parameters()}
    for alias, stored in base.aliases.items():
        if alias not in untied:
            owned.pop(alias, None)
        elif shared[alias] and stored in owned:
            owned[alias] = stored
    return owned


def check_inputs(name: str, method: object, opened: Sources) -> None:
    """Refuse a method that weighs inputs on a parameter whose inputs nobody can see, and one that
    knows the processor alone on another device.

    Raises: CompatibilityError with the rule that mends it; UsageError.
    """
    if opened.device != "cpu" and getattr(method, "cpu_only", False):
        raise UsageError(
            f"--device is {opened.device} when {type(method).__name__} computes on the processor",
            help="leave --device out",
        )
    if getattr(method, "needs_grams", False) and opened.orientation(name) == "parameter":
        raise CompatibilityError(
            f"{name} is read by no module of its own, so that nobody sees its inputs, which"
            f" {type(method).__name__} weighs",
            help=f"give it another method: --rule '{name}=linear'",
        )
