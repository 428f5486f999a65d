"""What a workspace's artifacts are made of: the base, and every data file, by digest and by row.

additive.lock records the digests. A verb records what it has read: `train` and `adopt` everything,
`check` the suites, `merge` the rows that decide it. So `lint` lists the files that have changed
since the last artifact that used them.

{"schema": "additive.lock/1",
 "base": {"id": "tiny", "digest": "9f3c…"},
 "domains": {"domains/math/domain.yaml": "77ab…", "domains/math/train.jsonl": "01fe…"},
 "evals": {"evals/general.yaml": "b2c4…"}}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from additive.artifacts.lockfile import changes, read_lockfile, write_lockfile
from additive.artifacts.manifest import BaseIdentity, identify_base
from additive.errors import CompatibilityError
from additive.overlap.check import DataFile
from additive.train.data import TrainingRow, read_rows
from additive.types.digests import Digest, digest_file, short
from additive.workspace.workspace import Workspace

Inputs = dict[str, dict[str, str]]
"""Digests by section of the lock file and displayed path."""


Split = Literal["train", "validation"]


def base_identity(workspace: Workspace) -> BaseIdentity:
    """What the base is, by digest; its weights are hashed once and kept in the cache.

    Raises: what `Workspace.base` raises; CompatibilityError when additive.lock pins another base.
    """
    base = workspace.base
    identity = identify_base(base.directory, base.id, base.revision, workspace.cache)
    pinned = read_lock(workspace).get("base", {})
    if pinned.get("digest", identity.digest) != identity.digest:
        raise CompatibilityError(
            f"base {base.id!r} is {short(identity.digest)}; additive.lock pins"
            f" {pinned.get('id', base.id)!r} at {short(pinned['digest'])}",
            where=str(base.directory),
            help="bring the pinned base back; or remove additive.lock and train every domain again",
        )
    return identity


def split_rows(workspace: Workspace, name: str, split: Split) -> tuple[TrainingRow, ...]:
    """The rows of one split of a domain, in the order of its files.

    Raises: SpecError naming every faulty row; IntegrityError for a file that is missing or empty.
    """
    format = workspace.domain(name).data.format
    files = workspace.data_files(name, split)
    return tuple(row for path in files for row in read_rows(path, format).rows)


def split_digests(workspace: Workspace, name: str, split: Split) -> dict[Path, Digest]:
    """The files of one split by digest; none where there is no such domain in this workspace."""
    files = workspace.data_files(name, split) if name in workspace.domain_names() else ()
    return {path: digest_file(path) for path in files}


def row_files(workspace: Workspace, name: str) -> tuple[DataFile, ...]:
    """The training and validation files of a domain that are there, to be searched for leaks.

    Raises: UnknownName, SpecError.
    """
    splits: tuple[Split, ...] = ("train", "validation")
    paths = [path for split in splits for path in workspace.data_files(name, split)]
    return _present(workspace, paths)


def item_files(workspace: Workspace, suite: str) -> tuple[DataFile, ...]:
    """The item files of a suite that are there. Raises: UnknownName, SpecError."""
    return _present(workspace, workspace.item_files(suite))


def _present(workspace: Workspace, paths: Iterable[Path]) -> tuple[DataFile, ...]:
    return tuple(
        DataFile.of(path, workspace.display_path(path)) for path in paths if path.is_file()
    )


def read_lock(workspace: Workspace) -> Inputs:
    """What additive.lock records; empty without one.

    Raises: IntegrityError when it is damaged.
    """
    return read_lockfile(workspace.lockfile)


def data_inputs(workspace: Workspace) -> Inputs:
    """Specs and data files of all domains and suites by digest, without those that are missing.

    Raises: SpecError.
    """
    return {
        "domains": _digests(workspace, _domain_files(workspace)),
        "evals": _digests(workspace, _suite_files(workspace)),
    }


def update_lock(workspace: Workspace, base: BaseIdentity) -> tuple[str, ...]:
    """Write additive.lock as things are now; returns what changed, one line per input.

    Raises: SpecError; IntegrityError for a damaged lock; ResourceError.
    """
    return _update(workspace, base, read_lock(workspace), data_inputs(workspace))


def lock_suites(workspace: Workspace, base: BaseIdentity) -> tuple[str, ...]:
    """Record base and suites in additive.lock as a check reads them; the rest stays as it was.

    Raises: as `update_lock`.
    """
    old = read_lock(workspace)
    gone = {name: old["evals"][name] for name in _gone(workspace, old)}
    suites = {**_digests(workspace, _suite_files(workspace)), **gone}
    return _update(workspace, base, old, {"evals": suites})


def gone_suites(workspace: Workspace) -> tuple[str, ...]:
    """A sentence for each suite that additive.lock records and evals/ no longer has.

    They stay in the lock, and in the way of every verdict, until their lines are removed there.

    Raises: IntegrityError for a damaged lock.
    """
    return tuple(
        f"{name} is in additive.lock and is not there: put it back, or remove its line from"
        " additive.lock"
        for name in _gone(workspace, read_lock(workspace))
    )


def _gone(workspace: Workspace, lock: Inputs) -> list[str]:
    """The suites' own files that the lock names and that are not there."""
    suites = [name for name in lock.get("evals", {}) if re.fullmatch(r"evals/[^/]+\.yaml", name)]
    return [name for name in suites if not (workspace.root / name).is_file()]


def lock_rows(
    workspace: Workspace, base: BaseIdentity, digests: Mapping[Path, Digest]
) -> tuple[str, ...]:
    """Record base and some data files in additive.lock; the rest stays as it was.

    digests  of the files as they were read

    Raises: as `update_lock`.
    """
    old = read_lock(workspace)
    rows = {workspace.display_path(path): digest for path, digest in digests.items()}
    return _update(workspace, base, old, {"domains": {**old.get("domains", {}), **rows}})


def _update(
    workspace: Workspace, base: BaseIdentity, old: Inputs, sections: Inputs
) -> tuple[str, ...]:
    fields = base.model_dump(mode="json")
    pinned = {name: value for name, value in fields.items() if isinstance(value, str)}
    new = {**old, "base": pinned, **sections}
    write_lockfile(workspace.lockfile, new)
    return changes(old, new) if old else ()


def _digests(workspace: Workspace, paths: Iterable[Path]) -> dict[str, str]:
    return {workspace.display_path(path): digest_file(path) for path in paths if path.is_file()}


def _domain_files(workspace: Workspace) -> Iterator[Path]:
    for name in workspace.domain_names():
        yield workspace.domain_directory(name) / "domain.yaml"
        yield from workspace.data_files(name, "train")
        yield from workspace.data_files(name, "validation")


def _suite_files(workspace: Workspace) -> Iterator[Path]:
    for name in workspace.suite_names():
        yield workspace.evals / f"{name}.yaml"
        yield from workspace.item_files(name)
    yield from workspace.verifier_files()
