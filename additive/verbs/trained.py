"""Trained specialists in the store, found by everything that decides them.

A domain's request holds its spec, data, recall rows and base by value or digest. A frozen
specialist with the same request is the answer, whatever was trained in between.

No engine is imported here, so that a domain which was trained before costs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from additive.artifacts.intact import is_intact
from additive.artifacts.manifest import Artifact, BaseIdentity
from additive.errors import UsageError
from additive.types.digests import digest_file
from additive.types.references import check_name
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


@dataclass(frozen=True)
class TrainedDomain:
    """A frozen specialist, and whether it was there before."""

    artifact: Artifact
    reused: bool

    def document(self) -> dict[str, Any]:
        """As `additive train --json` prints it."""
        manifest = self.artifact.manifest
        return {
            "name": self.artifact.name,
            "digest": self.artifact.digest,
            "path": str(self.artifact.path),
            "reused": self.reused,
            "outcome": manifest.saturation.get("outcome"),
            "plateau_step": manifest.saturation.get("plateau_step"),
            "validation": manifest.saturation.get("score"),
            "notes": list(manifest.notes),
        }

    def line(self) -> str:
        """What it is, in one line, and a line for each note."""
        fields = self.document()
        state = "was there already" if self.reused else "frozen"
        notes = "".join(f"\n  note: {note}" for note in fields["notes"])
        return (
            f"{self.artifact.reference}  {fields['outcome']}, plateau at step"
            f" {fields['plateau_step']}, validation {fields['validation']:.3f}  {state}{notes}"
        )


def reuse_trained(workspace: Workspace, name: str) -> TrainedDomain | None:
    """The frozen specialist of a domain as its files are now; None where it has to be trained.

    Raises: SpecError, UnknownName; UsageError for an adopted domain.
    """
    check_name(name)
    base = base_identity(workspace)
    artifact = find_trained(workspace, name, training_request(workspace, name, base))
    return TrainedDomain(artifact, reused=True) if artifact else None


def training_request(workspace: Workspace, name: str, base: BaseIdentity) -> dict[str, Any]:
    """Everything that decides a specialist, by value or digest; equal requests, equal weights.

    Raises: UsageError for an adopted domain.
    """
    refuse_adopted(workspace, name)
    files = [*workspace.data_files(name, "train"), *workspace.data_files(name, "validation")]
    recall = workspace.recall_file()
    return {
        **workspace.domain(name).model_dump(mode="json", exclude={"description", "adopted"}),
        "inputs": {
            "base": base.digest,
            "files": {workspace.data_name(name, path): digest_file(path) for path in files},
            "recall": digest_file(recall) if recall else None,
        },
    }


def find_trained(workspace: Workspace, name: str, request: Mapping[str, Any]) -> Artifact | None:
    """The newest frozen specialist with this request; None where its bytes are damaged."""
    for artifact in reversed(workspace.store.current(name)):
        manifest = artifact.manifest
        if manifest.kind == "specialist" and manifest.spec == request:
            return artifact if is_intact(artifact, workspace.cache) else None
    return None


def refuse_adopted(workspace: Workspace, name: str) -> None:
    """Refuse to train an adopted domain, which has no training rows. Raises: UsageError."""
    if workspace.domain(name).adopted:
        raise UsageError(
            f"domain {name!r} is adopted; only a domain with its own rows can be trained",
            help=f"additive adopt DIR --as {name} takes in a new version of it",
        )
