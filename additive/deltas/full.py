"""Full fine-tunes: another checkpoint of the same model, in any float dtype and any sharding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from additive.deltas.base import FLOATS, HEAD, Base, is_tied
from additive.deltas.lazy import Difference, WholeTensor
from additive.deltas.model import Delta
from additive.deltas.names import check_rows, find, resolve
from additive.deltas.source import AdapterTarget, non_finite_tensors
from additive.deltas.vocabulary import fitted
from additive.errors import CompatibilityError
from additive.tensors.json import read_object
from additive.tensors.reader import Checkpoint, open_checkpoint
from additive.types.digests import Digest


@dataclass(frozen=True, eq=False)
class FullSource:
    """θ_ft − θ_0 for every float tensor of a checkpoint."""

    name: str
    digest: Digest
    base: Base
    checkpoint: Checkpoint
    stored_as: dict[str, str]
    kind: str = "full"

    def parameters(self) -> tuple[str, ...]:
        """Every float parameter of the checkpoint that has elements, in the base's order."""
        names = (name for name in self.base.names() if name in self.stored_as)
        return tuple(name for name in names if math.prod(self.base.shape(name)))

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape."""
        return self.base.shape(name)

    def delta(self, name: str) -> Delta:
        """θ_ft − θ_0, computed when asked for."""
        trained = self.checkpoint.tensor(self.stored_as[name])
        return Difference(WholeTensor(fitted(trained, name, self.base)), self.base.tensor(name))

    def shares(self, alias: str, stored: str) -> bool:
        """Whether head and embedding are one tensor, or two with the same bytes."""
        if alias not in self.stored_as:
            return True
        head, embedding = (self.checkpoint.tensor(self.stored_as[n]) for n in (alias, stored))
        return torch.equal(head, embedding)

    def target(self, name: str) -> AdapterTarget | None:
        """None: a full fine-tune has no factors."""
        return None

    def rank(self, name: str) -> int | None:
        """None: a full fine-tune has no factors."""
        return None

    def non_finite(self) -> tuple[str, ...]:
        """The names of tensors with NaN or infinity."""
        return non_finite_tensors(self.checkpoint, tuple(self.stored_as.values()))

    def nbytes(self) -> int:
        """All bytes of its float tensors."""
        return sum(self.checkpoint.info(name).nbytes for name in self.stored_as.values())

    def close(self) -> None:
        """Let go of the files."""
        self.checkpoint.close()


def open_full(directory: Path, base: Base, name: str, digest: Digest) -> FullSource:
    """Open a full fine-tune against its base.

    Raises: CompatibilityError when names, shapes, or tensors that are no floats differ from the
    base's.
    """
    where = f"{name} ({directory})"
    checkpoint = open_checkpoint(directory)
    stored_as: dict[str, str] = {}
    for own in checkpoint.names():
        if _is_buffer(own, checkpoint) and find(own, base) is None:
            continue
        parameter = resolve(own, base, where)
        check_rows(parameter, checkpoint.info(own).shape, base, where)
        if _is_float(checkpoint, own, base, parameter, where):
            _refuse_second(parameter, own, stored_as, where)
            stored_as[parameter] = own
    stored_as |= _tied_head(checkpoint, base, stored_as)
    missing = [
        name
        for name in base.checkpoint.names()
        if base.dtype(name) in FLOATS
        and name not in stored_as
        and not _is_buffer(name, base.checkpoint)
    ]
    if missing:
        raise CompatibilityError(
            f"{missing[0]} is in the base and not in the fine-tune ({len(missing)} are missing)",
            where=where,
            help="the folder is incomplete, or it belongs to another model",
        )
    return FullSource(name, digest, base, checkpoint, stored_as)


def _is_buffer(name: str, checkpoint: Checkpoint) -> bool:
    """Whether a tensor is a constant that older versions of transformers stored beside weights: the
    frequencies of rotary embeddings, or a causal mask.
    """
    mask = name.endswith("attn.bias") and len(checkpoint.info(name).shape) == 4
    return mask or name.endswith(("rotary_emb.inv_freq", "attn.masked_bias"))


def _tied_head(checkpoint: Checkpoint, base: Base, stored_as: Mapping[str, str]) -> dict[str, str]:
    """A head that only the base stores although both are tied: it is the fine-tune's embedding."""
    config = read_object(checkpoint.directory / "config.json")
    if HEAD in stored_as or HEAD not in base.checkpoint or not is_tied(config):
        return {}
    same = [
        name
        for name in stored_as
        if base.shape(name) == base.shape(HEAD)
        and base.checkpoint.bytes(name) == base.checkpoint.bytes(HEAD)
    ]
    return {HEAD: stored_as[same[0]]} if len(same) == 1 else {}


def _refuse_second(parameter: str, own: str, stored_as: Mapping[str, str], where: str) -> None:
    if parameter in stored_as:
        raise CompatibilityError(
            f"{own} and {stored_as[parameter]} are both there for the base's {parameter}",
            where=where,
            help="save the model again with save_pretrained, into an empty folder",
        )


def _is_float(checkpoint: Checkpoint, own: str, base: Base, parameter: str, where: str) -> bool:
    if checkpoint.info(own).dtype in FLOATS and base.dtype(parameter) in FLOATS:
        return True
    if checkpoint.bytes(own) != base.checkpoint.bytes(base.stored(parameter)):
        raise CompatibilityError(
            f"{own} is {checkpoint.info(own).dtype} and differs from the base; only"
            f" {', '.join(FLOATS)} may",
            where=where,
            help="take the fine-tune in bfloat16, float16 or float32",
        )
    return False
