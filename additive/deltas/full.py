"""Full fine-tunes: another checkpoint of the same model, in any float dtype and any sharding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from additive.deltas.base import FLOATS, Base
from additive.deltas.finite import non_finite_tensors
from additive.deltas.lazy import Difference, Whole
from additive.deltas.model import Delta
from additive.deltas.names import check_rows, resolve
from additive.deltas.source import AdapterTarget
from additive.deltas.vocabulary import fitted
from additive.errors import CompatibilityError
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
        """Every float parameter of the checkpoint, in the base's order."""
        return tuple(name for name in self.base.names() if name in self.stored_as)

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape."""
        return self.base.shape(name)

    def delta(self, name: str) -> Delta:
        """θ_ft − θ_0, computed when asked for."""
        trained = self.checkpoint.tensor(self.stored_as[name])
        return Difference(Whole(fitted(trained, name, self.base)), self.base.tensor(name))

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
        parameter = resolve(own, base, where)
        check_rows(parameter, checkpoint.info(own).shape, base, where)
        if _is_float(checkpoint, own, base, parameter, where):
            stored_as[parameter] = own
    missing = [n for n in base.checkpoint.names() if base.dtype(n) in FLOATS and n not in stored_as]
    if missing:
        raise CompatibilityError(
            f"{missing[0]} is in the base and not in the fine-tune ({len(missing)} are missing)",
            where=where,
            help="the folder is incomplete, or it belongs to another model",
        )
    return FullSource(name, digest, base, checkpoint, stored_as)


def _is_float(checkpoint: Checkpoint, own: str, base: Base, parameter: str, where: str) -> bool:
    if checkpoint.info(own).dtype in FLOATS and base.dtype(parameter) in FLOATS:
        return True
    if checkpoint.bytes(own) != base.checkpoint.bytes(base.stored(parameter)):
        raise CompatibilityError(
            f"{own} is {checkpoint.info(own).dtype} and differs from the base when only floats may",
            where=where,
            help="take the fine-tune in bfloat16, float16 or float32",
        )
    return False
