"""Every input of a workspace by digest, as additive.lock records it.

A verb records what it has read: `train` and `adopt` everything, `check` the suites, `merge` the
rows that decide it. So what `lint` names as changed is what nothing was made of yet.

{"schema": "additive.lock/1",
 "base": {"id": "tiny", "digest": "9f3c…"},
 "domains": {"domains/math/domain.yaml": "77ab…", "domains/math/train.jsonl": "01fe…"},
 "evals": {"evals/general.yaml": "b2c4…"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from additive.artifacts.lockfile import changes, read_lockfile, write_lockfile
from additive.artifacts.manifest import BaseIdentity
from additive.errors import CompatibilityError
from additive.types.digests import digest_file, short
from additive.workspace.workspace import Workspace

Inputs = dict[str, dict[str, str]]


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


def update_lock(workspace: Workspace) -> tuple[str, ...]:
    """Write additive.lock as things are now; gives what changed, one line per input.

    Raises: SpecError; what `Workspace.base` raises; CompatibilityError when another base is pinned.
    """
    return _update(workspace, read_lock(workspace), data_inputs(workspace))


def lock_suites(workspace: Workspace) -> tuple[str, ...]:
    """Record base and suites in additive.lock as a check reads them; the rest stays as it was.

    Raises: as `update_lock`.
    """
    suites = _digests(workspace, _suite_files(workspace))
    return _update(workspace, read_lock(workspace), {"evals": suites})


def lock_rows(workspace: Workspace, paths: Iterable[Path]) -> tuple[str, ...]:
    """Record base and some data files in additive.lock; the rest stays as it was.

    Raises: as `update_lock`.
    """
    old = read_lock(workspace)
    rows = {**old.get("domains", {}), **_digests(workspace, paths)}
    return _update(workspace, old, {"domains": rows})


def _update(
    workspace: Workspace, old: Inputs, sections: Mapping[str, dict[str, str]]
) -> tuple[str, ...]:
    new = {**old, "base": _base_section(base_identity(workspace)), **sections}
    write_lockfile(workspace.lockfile, new)
    return changes(old, new) if old else ()


def base_identity(workspace: Workspace) -> BaseIdentity:
    """What the base is, by digest; its weights are hashed once and kept in the cache.

    Raises: what `Workspace.base` raises; CompatibilityError when additive.lock pins another base.
    """
    from additive.artifacts.manifest import identify_base

    base = workspace.base
    found = identify_base(base.directory, base.id, base.revision, workspace.cache)
    pinned = read_lock(workspace).get("base", {})
    if pinned.get("digest", found.digest) != found.digest:
        raise CompatibilityError(
            f"base {base.id!r} is {short(found.digest)}; additive.lock pins"
            f" {pinned.get('id', base.id)!r} at {short(pinned['digest'])}",
            where=str(base.directory),
            help="bring the pinned base back; or remove additive.lock and train every domain again",
        )
    return found


def _base_section(base: BaseIdentity) -> dict[str, str]:
    fields = base.model_dump(mode="json")
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _digests(workspace: Workspace, paths: Iterable[Path]) -> dict[str, str]:
    return {workspace.shown(path): digest_file(path) for path in paths if path.is_file()}


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
