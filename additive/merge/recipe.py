"""A merge, fully resolved: which sources at which weights, by which method, into what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from additive.merge.building import method_name, method_parameters
from additive.merge.stack import MergeMethod
from additive.types.digests import Digest, short

Output = Literal["checkpoint", "adapter"]


@dataclass(frozen=True)
class SourceSpec:
    """One specialist in a merge.

    directory  a folder that PEFT or transformers can load
    weight     wᵢ, dimensionless
    finite     True when its numbers were checked at freeze, so that they need not be read twice
    """

    name: str
    digest: Digest
    directory: Path
    weight: float = 1.0
    finite: bool = False

    def __str__(self) -> str:
        return f"{self.name}@{short(self.digest)}"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the bytes of a merge, but for the base.

    sources  in any order: they are summed in the order of their digests
    scale    λ, multiplies the merged delta
    dtype    of the output: `auto` (the base's own), `float32`, `bfloat16` or `float16`
    output   `checkpoint`: a whole model; `adapter`: a PEFT adapter, for linear methods over LoRA
    seed     of methods that draw at random
    """

    sources: tuple[SourceSpec, ...]
    method: MergeMethod
    scale: float = 1.0
    dtype: str = "auto"
    output: Output = "checkpoint"
    seed: int = 0
    name: str = ""

    def ordered(self) -> tuple[SourceSpec, ...]:
        """The sources in the order in which they are summed."""
        return tuple(sorted(self.sources, key=lambda source: source.digest))

    def resolved(self) -> dict[str, Any]:
        """The recipe as JSON values with all defaults filled in; no paths, no names of folders."""
        return {
            "sources": [{"digest": s.digest, "weight": s.weight} for s in self.ordered()],
            "method": {"name": method_name(self.method), **method_parameters(self.method)},
            "scale": self.scale,
            "dtype": self.dtype,
            "output": self.output,
            "seed": self.seed,
        }
