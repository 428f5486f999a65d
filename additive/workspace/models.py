"""Models that another tool's file names: directories, Hub ids in the local cache, base+adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from additive.errors import UsageError
from additive.types.references import looks_like_hub_id
from additive.workspace.place import Workspace


@dataclass(frozen=True)
class NamedModel:
    """A model by its files: `base` is the text before the +, where there is one."""

    directory: Path
    base: str | None = None


def find_model(workspace: Workspace, text: str) -> NamedModel:
    """The files of `path`, `org/name`, `org/name@revision`, or of either with `+adapter`.

    Relative paths are taken from the workspace; nothing is fetched.

    Raises: UsageError when there is no such directory and no such model in the local cache.
    """
    whole = _directory(workspace, text)
    if whole is not None:
        return NamedModel(whole)
    base, plus, adapter = text.partition("+")
    found = _directory(workspace, adapter) if plus else None
    if found is None:
        raise UsageError(
            f"model is {text!r} when it should be a specialist, a directory, a Hub id in the local"
            " cache, or base+adapter",
            help="relative paths are taken from the workspace; additive list names the specialists",
        )
    return NamedModel(found, base)


def is_base(workspace: Workspace, text: str) -> bool:
    """Whether a text names the workspace's base: its id, or a directory that is the base's own."""
    base = workspace.base
    if text in (base.id, workspace.spec.base.model):
        return True
    found = _directory(workspace, text)
    return found is not None and found.resolve() == base.directory.resolve()


def _directory(workspace: Workspace, text: str) -> Path | None:
    path = workspace.root / Path(text).expanduser()
    if path.is_dir():
        return path
    name, _, revision = text.partition("@")
    if not looks_like_hub_id(name):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
