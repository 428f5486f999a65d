"""PEFT adapters: LoRA in all its scalings, DoRA, IA3, trained biases, tokens and whole modules.

One module may change one parameter in several ways (factors on a weight, a trained bias plus a
factor's bias); their deltas are summed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from additive.deltas.base import FLOATS, Base
from additive.deltas.full import open_full
from additive.deltas.initial import read_initial
from additive.deltas.lazy import Difference, TokenRows, WholeTensor
from additive.deltas.lora import AdapterReader
from additive.deltas.model import Delta, LowRank, combine
from additive.deltas.names import parse_keys
from additive.deltas.peft_config import AdapterConfig, read_adapter_config
from additive.deltas.source import AdapterPart, AdapterTarget, DeltaSource, non_finite_tensors
from additive.errors import CompatibilityError, IntegrityError
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest


@dataclass(frozen=True, eq=False)
class AdapterSource:
    """The deltas of one PEFT adapter."""

    name: str
    digest: Digest
    base: Base
    checkpoint: Checkpoint
    config: AdapterConfig
    parts: Mapping[str, tuple[AdapterPart, ...]]

    @property
    def kind(self) -> str:
        """`lora`, `dora` or `ia3`."""
        return "dora" if self.config.dora else self.config.kind

    def parameters(self) -> tuple[str, ...]:
        """The trained parameters in the base's order."""
        return tuple(name for name in self.base.names() if name in self.parts)

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape."""
        return self.base.shape(name)

    def delta(self, name: str) -> Delta:
        """The parameter's delta: a single part as it is, several summed."""
        return combine([(1.0, part.read()) for part in self.parts[name]])

    def shares(self, alias: str, stored: str) -> bool:
        """Whether the head still equals the embedding: neither changed, or both alike.

        PEFT applies trained tokens to both sides of a tied pair, everything else to one.
        """
        head, embedding = self.parts.get(alias), self.parts.get(stored)
        if head is None and embedding is not None and all(part.tokens for part in embedding):
            return True
        if head is not None and embedding is not None:
            return _same(self.delta(alias), self.delta(stored))
        touched = alias if head is not None else stored if embedding is not None else None
        return touched is None or _is_zero(self.delta(touched))

    def target(self, name: str) -> AdapterTarget | None:
        """Where an adapter would hold this delta; None unless it is one pair of factors."""
        parts = self.parts.get(name, ())
        return parts[0].target if len(parts) == 1 else None

    def rank(self, name: str) -> int | None:
        """The rank of a parameter's factors; None unless it is one plain pair of them."""
        parts = self.parts.get(name, ())
        return parts[0].rank if len(parts) == 1 else None

    def non_finite(self) -> tuple[str, ...]:
        """The names of tensors with NaN or infinity."""
        return non_finite_tensors(self.checkpoint, self.checkpoint.names())

    def nbytes(self) -> int:
        """All bytes of the adapter."""
        return sum(self.checkpoint.info(name).nbytes for name in self.checkpoint.names())

    def close(self) -> None:
        """Let go of the file."""
        self.checkpoint.close()


def open_adapter(directory: Path, base: Base, name: str, digest: Digest) -> AdapterSource:
    """Open an adapter against its base, from headers alone.

    Raises: CompatibilityError, IntegrityError, SecurityError; see `open_deltas`.
    """
    where = f"{name} ({directory})"
    config = read_adapter_config(directory)
    checkpoint = open_file(directory / "adapter_model.safetensors")
    _refuse_other_numbers(checkpoint, where)
    keys = parse_keys(checkpoint.names(), where)
    initial = read_initial(config, checkpoint, where)
    if not keys.modules and not keys.saved:
        raise CompatibilityError(
            "adapter holds no tensors",
            where=where,
            help="save it again with PEFT's save_pretrained, from the gathered model",
        )
    reader = AdapterReader(checkpoint, base, config, where, initial)
    return AdapterSource(name, digest, base, checkpoint, config, reader.parts(keys))


def _refuse_other_numbers(checkpoint: Checkpoint, where: str) -> None:
    for name in checkpoint.names():
        dtype = checkpoint.info(name).dtype
        if dtype not in (*FLOATS, "F64"):
            raise CompatibilityError(
                f"tensor {name!r} is {dtype}; expected one of {', '.join(FLOATS)}",
                where=where,
                help="save the adapter in bfloat16, float16 or float32",
            )


def _same(one: Delta, other: Delta) -> bool:
    match one, other:
        case LowRank(B, A, scale), LowRank():
            return scale == other.scale and torch.equal(A, other.A) and torch.equal(B, other.B)
        case Difference(WholeTensor(first)), Difference(WholeTensor(second)):
            return torch.equal(first, second)
        case Difference(TokenRows(first, i, rows)), Difference(TokenRows(second, j, others)):
            return i == j and torch.equal(rows, others) and torch.equal(first, second)
    return False


def _is_zero(delta: Delta) -> bool:
    match delta:
        case LowRank(B, A):
            return not (A.any() and B.any())
        case Difference(WholeTensor(trained), base):
            return torch.equal(trained, base.to(trained.dtype))
    return False


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

    if (directory / "adapter_config.json").exists():
        return open_adapter(directory, base, name, digest)
    if (directory / "config.json").exists():
        return open_full(directory, base, name, digest)
    raise IntegrityError(
        "neither adapter_config.json nor config.json is there: no adapter, no model",
        where=f"{name} ({directory})",
        help="point at a folder that PEFT's or transformers' save_pretrained has written",
    )
