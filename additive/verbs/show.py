"""Find one artifact: by a directory, or by a name in the store of the workspace around here."""

from __future__ import annotations

from pathlib import Path

from additive.artifacts.manifest import Artifact, read_manifest
from additive.errors import UnknownName, UsageError
from additive.workspace.workspace import Workspace, find_workspace

MANIFEST = "manifest.json"


MAX_PATH = 200
"""A longer text is never tried as a path; the operating system would refuse it."""


def find_artifact(text: str, start: Path) -> Artifact:
    """The artifact of a directory, or of a reference such as `math`, `math@9f3c` or `math#0.5`.

    text   a directory needs no workspace; a name is resolved in the workspace that holds `start`
    start  relative paths are taken from here

    Raises: UnknownName, UsageError, IntegrityError.
    """
    directory = artifact_directory(text, start)
    manifest = read_manifest(directory)
    return Artifact(manifest.name, manifest.digest, directory)


def artifact_directory(text: str, start: Path) -> Path:
    """The directory of an artifact; its manifest is not read.

    Raises: as `find_artifact`.
    """
    path = start / text
    if len(text) <= MAX_PATH and (path / MANIFEST).is_file():
        return path.resolve()
    if "/" in text or text.startswith("."):
        reason = f"has no {MANIFEST}" if path.is_dir() else "is not a directory"
        raise UsageError(reason, where=text, help="give an artifact's directory, or its name")
    return _resolve(find_workspace(start), text).path


def _resolve(workspace: Workspace, text: str) -> Artifact:
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
