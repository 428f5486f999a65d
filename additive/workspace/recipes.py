"""Words to files where a merge is named: recipes, names of merges, and models of mergekit files.

resolve_recipe(workspace, "merges/release.yaml")       "release"
find_model(workspace, "org/base+../saves/math-lora")   the adapter's folder, and its base
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


def resolve_recipe(workspace: Workspace, text: str) -> str | None:
    """The recipe that a name or a file means; None where the text is neither.

    A domain's name means the domain, `merges/NAME.yaml` the recipe of that name.

    Raises: UnknownName for a file that does not exist; UsageError for one outside `merges/`, where
    another recipe of its name may be.
    """
    if not text.endswith(_SUFFIXES):
        known = text in workspace.recipe_names() and text not in workspace.domain_names()
        return text if known else None
    path = Path(text)
    own = workspace.root / "merges" / f"{path.stem}.yaml"
    files = [file for file in (Path.cwd() / path, workspace.root / path) if file.is_file()]
    if files and own.resolve() not in [file.resolve() for file in files]:
        raise _not_a_recipe(text, path)
    if path.stem in workspace.recipe_names() and (files or path.name == text):
        return path.stem
    if files:
        raise _not_a_recipe(text, path)
    raise UnknownName("recipe", path.stem, workspace.recipe_names())


def check_merge_name(workspace: Workspace, name: str) -> str:
    """Refuse a merge the name of a domain or a specialist, which it would hide; returns the name.

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


def _not_a_recipe(text: str, path: Path) -> UsageError:
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
    directory = _directory(workspace, text)
    if directory is not None:
        return NamedModel(directory)
    base, plus, adapter = text.partition("+")
    directory = _directory(workspace, adapter) if plus else None
    if directory is None:
        raise UsageError(
            f"model is {text!r}; expected a specialist, a directory, a Hub id in the local"
            " cache, or base+adapter",
            help="relative paths are taken from the workspace; additive list names the specialists",
        )
    return NamedModel(directory, base)


def is_base(workspace: Workspace, text: str) -> bool:
    """Whether a text names the workspace's base: its id, or a directory that is the base's own."""
    base = workspace.base
    if text in (base.id, workspace.spec.base.model):
        return True
    directory = _directory(workspace, text)
    return directory is not None and directory.resolve() == base.directory.resolve()


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
