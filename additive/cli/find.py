"""What an argument means: a directory, or a name in the workspace's store."""

from __future__ import annotations

from pathlib import Path

from additive.artifacts.manifest import Artifact, read_manifest
from additive.cli.session import Session
from additive.errors import UnknownName, UsageError

MANIFEST = "manifest.json"
MAX_PATH = 200


def artifact_directory(session: Session, text: str) -> Path:
    """The directory of an artifact, given as a path or as a reference.

    Raises: UnknownName, UsageError, IntegrityError.
    """
    path = session.directory / text
    if len(text) <= MAX_PATH and (path / MANIFEST).is_file():
        return path.resolve()
    if "/" in text or text.startswith("."):
        reason = "has no manifest.json" if path.is_dir() else "is no directory"
        raise UsageError(reason, where=text, help="give an artifact's directory, or its name")
    return _stored(session, text).path


def artifact_of(session: Session, text: str) -> Artifact:
    """The artifact at a path or under a reference.

    Raises: UnknownName, UsageError, IntegrityError.
    """
    directory = artifact_directory(session, text)
    manifest = read_manifest(directory)
    return Artifact(manifest.name, manifest.digest, directory)


def _stored(session: Session, text: str) -> Artifact:
    workspace = session.workspace
    try:
        return workspace.store.resolve(text)
    except UnknownName as error:
        if error.name in workspace.domain_names():
            raise UsageError(
                f"domain {error.name!r} is not trained yet", help=f"additive train {error.name}"
            ) from None
        if error.name in workspace.recipe_names():
            raise UsageError(
                f"recipe {error.name!r} is not built yet", help=f"additive merge {error.name}"
            ) from None
        raise
