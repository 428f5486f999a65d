"""Verify artifacts: every byte against the manifest, offline, by anyone who has the directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from additive.artifacts.verify import Problem, verify_directory
from additive.verbs.show import MAX_PATH, artifact_directory
from additive.workspace.workspace import MARKER, Workspace, find_workspace


@dataclass(frozen=True)
class VerifiedArtifact:
    """A directory and how it differs from its manifest; no problems where every byte is right."""

    directory: Path
    problems: tuple[Problem, ...]


def verify_artifacts(names: Sequence[str], start: Path) -> tuple[VerifiedArtifact, ...]:
    """Compare each file of some artifacts with the digest in the manifest.

    names  references, directories, or directories of workspaces, which stand for their whole
           store; without any the whole store of the workspace that holds `start`
    start  relative paths are taken from here

    Raises: UnknownName, UsageError for a name that leads nowhere.
    """
    directories = [path for name in names for path in _directories(name, start)]
    if not names:
        directories = _stored(find_workspace(start))
    return tuple(VerifiedArtifact(path, tuple(verify_directory(path))) for path in directories)


def _directories(name: str, start: Path) -> list[Path]:
    """As `artifact_directory`; a directory without a manifest is verified too, and fails."""
    path = start / name
    if len(name) > MAX_PATH or not path.is_dir():
        return [artifact_directory(name, start)]
    return _stored(Workspace(path)) if (path / MARKER).is_file() else [path.resolve()]


def _stored(workspace: Workspace) -> list[Path]:
    return [artifact.path for artifact in workspace.store.all()]
