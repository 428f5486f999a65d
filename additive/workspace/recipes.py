"""Which recipe a word of the command line means, and what a merge may be called.

Models that another tool's file names: directories, Hub ids in the local cache, base+adapter.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from additive.errors import UnknownName, UsageError
from additive.types.references import check_name, looks_like_hub_id
from additive.workspace.workspace import Workspace

_SUFFIXES = (".yaml", ".yml")


def recipe_meant(workspace: Workspace, text: str) -> str | None:
    """The recipe that a name or a file means; None where the text names no recipe.

    A domain's name means the domain; its recipe is meant by `merges/NAME.yaml`.

    Raises: UnknownName for a file that is not there; UsageError for one that is no recipe of this
    workspace, since another file of its name may be.
    """
    if not text.endswith(_SUFFIXES):
        known = text in workspace.recipe_names() and text not in workspace.domain_names()
        return text if known else None
    path = Path(text)
    own = workspace.root / "merges" / f"{path.stem}.yaml"
    there = [place for place in (Path.cwd() / path, workspace.root / path) if place.is_file()]
    if there and own.resolve() not in [place.resolve() for place in there]:
        raise _outside(text, path)
    if path.stem in workspace.recipe_names() and (there or path.name == text):
        return path.stem
    if there:
        raise _outside(text, path)
    raise UnknownName("recipe", path.stem, workspace.recipe_names())


def name_of_merge(workspace: Workspace, name: str) -> str:
    """A name that a merge may take: no domain's and no specialist's, which it would hide.

    Raises: UsageError.
    """
    check_name(name, "merge")
    kinds = {version.manifest.kind for version in workspace.store.current(name)}
    if name in workspace.domain_names() or "specialist" in kinds:
        raise UsageError(
            f"merge name is {name!r}; expected a name that no domain has",
            help=f"--name {name}-merged, or rename the recipe",
        )
    return name


def _outside(text: str, path: Path) -> UsageError:
    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_") or "release"
    return UsageError(
        f"file is {text}; expected merges/NAME.yaml of the workspace, NAME of"
        " lower-case letters, digits, '-' and '_'",
        help=f"cp {shlex.quote(text)} merges/{name}.yaml, then additive merge merges/{name}.yaml",
    )


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
            f"model is {text!r}; expected a specialist, a directory, a Hub id in the local"
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
