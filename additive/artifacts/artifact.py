"""One frozen version of a name, and its snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from additive.artifacts.manifest import Manifest, read_manifest
from additive.errors import UnknownName
from additive.types.digests import Digest, short

_NEAR = 0.125


@dataclass(frozen=True)
class Artifact:
    """A frozen directory: `path` is what transformers or peft load."""

    name: str
    digest: Digest
    path: Path

    @property
    def reference(self) -> str:
        """`name@digest` with eight digits, as people see it."""
        return f"{self.name}@{short(self.digest)}"

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, read and checked at first use.

        Raises: IntegrityError when it was changed.
        """
        return read_manifest(self.path)

    def snapshot_path(self, fraction: float | None = None) -> Path:
        """The snapshot nearest to a fraction of the plateau step; the artifact for None and 1.

        Raises: UnknownName when no snapshot is within 0.125 of it.
        """
        paths = {1.0: self.path}
        paths |= {s.fraction: self.path / s.path for s in self.manifest.snapshots}
        wanted = 1.0 if fraction is None else fraction
        nearest = min(sorted(paths), key=lambda known: abs(known - wanted))
        if abs(nearest - wanted) > _NEAR:
            known = [f"{value:g}" for value in paths]
            raise UnknownName(f"snapshot of {self.reference}", f"{wanted:g}", known)
        return paths[nearest]
