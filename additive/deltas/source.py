"""Sources: everything that one training added to a base, parameter by parameter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from additive.deltas.base import Base
from additive.deltas.model import Delta
from additive.errors import IntegrityError
from additive.types.digests import Digest

Orientation = Literal["linear", "conv1d", "embedding", "parameter"]


@dataclass(frozen=True)
class Slot:
    """A place in a parameter that PEFT adapts by `target_parameters`.

    parameter   what PEFT calls it, without its module: `gate_up_proj`
    depth       how many wrappers of the same module PEFT puts around this one's
    experts     how many experts it holds, 1 for a matrix
    expert      the one that lies here; None where the base stores all of them in one tensor
    part, parts  of its outputs, which share lies here: gate is 0 and up is 1 of 2
    transposed  whether the base stores (experts, inputs, outputs)
    """

    parameter: str
    depth: int
    experts: int = 1
    expert: int | None = None
    part: int = 0
    parts: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class AdapterTarget:
    """Where PEFT would put the factors of a parameter: the module's name and which way its weight
    lies; of `target_parameters`, also which parameter of the module.
    """

    module: str
    orientation: Orientation
    slot: Slot | None = None


class DeltaSource(Protocol):
    """One training's deltas. Opening reads headers; `delta` reads factors; blocks are read when
    asked for.

    `name` is for people, `digest` orders and seeds.
    """

    @property
    def name(self) -> str:
        """The name that messages use."""
        ...

    @property
    def digest(self) -> Digest:
        """The identity of the source."""
        ...

    @property
    def kind(self) -> str:
        """`lora`, `dora`, `ia3` or `full`."""
        ...

    def parameters(self) -> tuple[str, ...]:
        """The base's names of the parameters that were trained, in the base's order."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter's delta: the base's."""
        ...

    def delta(self, name: str) -> Delta:
        """What the training added to one of `parameters()`."""
        ...

    def shares(self, alias: str, stored: str) -> bool:
        """Whether a tied pair (head, embedding) is still tied after this training."""
        ...

    def target(self, name: str) -> AdapterTarget | None:
        """Where an adapter would hold this delta; None when it is no low-rank delta."""
        ...

    def rank(self, name: str) -> int | None:
        """The rank of the factors s·B·A of one of `parameters()`; None when its delta is no such
        product.
        """
        ...

    def non_finite(self) -> tuple[str, ...]:
        """The names of the source's own tensors that hold NaN or infinity; reads all its bytes."""
        ...

    def nbytes(self) -> int:
        """How many bytes a merge reads of it."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def open_deltas(directory: Path, base: Base, name: str, digest: Digest) -> DeltaSource:
    """Open a PEFT adapter or a full fine-tune against its base, from headers alone.

    Raises: CompatibilityError for a kind that cannot be merged exactly and for names or shapes that
    are not the base's, IntegrityError for files that are missing or broken, SecurityError for
    hostile ones.

    Example:
        base = open_base(Path("base"))
        source = open_deltas(Path("saves/math-lora"), base, "math", digest)
        source.delta("model.layers.0.self_attn.q_proj.weight").dense()
    """
    from additive.deltas.adapter import open_adapter
    from additive.deltas.full import open_full

    if (directory / "adapter_config.json").exists():
        return open_adapter(directory, base, name, digest)
    if (directory / "config.json").exists():
        return open_full(directory, base, name, digest)
    raise IntegrityError(
        "neither adapter_config.json nor config.json is there: no adapter, no model",
        where=f"{name} ({directory})",
        help="point at a folder that PEFT's or transformers' save_pretrained has written",
    )
