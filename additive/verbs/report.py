"""Write the pages of a merge's check in `reports/`, and read what they show.

    report_merge(workspace, "math+code").html     the page of the newest check, written again

Beside the check itself a page shows the manifests of merge and specialists, the items that the
merge lost, and the diagnosis of its sources where `additive diagnose` left one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.artifacts.base_check import base_check_of
from additive.artifacts.manifest import Artifact, Manifest
from additive.errors import IntegrityError, RefusedError, UsageError
from additive.report.document import read_check
from additive.report.evidence import Evidence, Flips
from additive.report.write import Pages, render_json, write_report
from additive.tensors.json import read_object
from additive.types.digests import Digest, digest_json, short
from additive.verbs.built_merge import resolve_merge
from additive.verbs.results import known_flips
from additive.workspace.workspace import Workspace

DIAGNOSIS_SCHEMA = "additive.diagnose/1"


_DIAGNOSIS_BYTES = 64 << 20


def evidence_of(
    workspace: Workspace, document: Mapping[str, Any], flips: Sequence[Flips] = ()
) -> Evidence:
    """A check with the manifests of its merge and specialists.

    document  of `check_merge`
    flips     the items that the merge lost or won, where they are known

    Raises: IntegrityError for a damaged document or manifest.
    """
    check = read_check(document)
    merge = _version(workspace, check.name, check.digest)
    parents = merge.manifest.parents if merge else ()
    specialists = [_version(workspace, parent.name, parent.digest) for parent in parents]
    return Evidence(
        check=check,
        merge=merge.manifest if merge else None,
        specialists=[s.manifest for s in specialists if s],
        flips=tuple(flips),
        diagnosis=known_diagnosis(workspace, merge.manifest) if merge else None,
        base_checks={s.digest: str(c) for s in specialists if s and (c := base_check_of(s))},
    )


def write_pages(
    workspace: Workspace, document: Mapping[str, Any], flips: Sequence[Flips] = ()
) -> Pages:
    """Write `reports/<merge>.{html,md,json}`. Raises: ResourceError."""
    workspace.reports.mkdir(parents=True, exist_ok=True)
    return write_report(workspace.reports, evidence_of(workspace, document, flips), document)


def pages_are_current(workspace: Workspace, document: Mapping[str, Any]) -> bool:
    """Whether the pages of a check are in their place, and are of this check.

    The user may have removed them, moved the workspace, or checked another merge of this name.
    """
    page = workspace.reports / f"{document['name']}.html"
    if document.get("report") != str(page) or not page.is_file():
        return False
    beside = page.with_name(f"{document['name']}.json")
    return beside.is_file() and beside.read_bytes() == render_json(document).encode()


def known_diagnosis(workspace: Workspace, merge: Manifest) -> Mapping[str, Any] | None:
    """The newest diagnosis of a merge's sources, as `diagnose_sources` keeps it; None without one.

    A snapshot is another source than its plateau.
    """
    if merge.base is None:
        return None
    sources = merge.spec.get("request", {}).get("sources", ())
    parts = [(source["digest"], source["snapshot"]) for source in sources]
    path = diagnosis_path(workspace, merge.base.digest, parts)
    if not path.is_file():
        return None
    try:
        diagnosis = read_object(path, _DIAGNOSIS_BYTES)
    except RefusedError:
        return None
    return diagnosis if diagnosis.get("schema") == DIAGNOSIS_SCHEMA else None


def diagnosis_path(
    workspace: Workspace, base: Digest, sources: Sequence[tuple[Digest, float | None]]
) -> Path:
    """Where the diagnosis of some sources is kept, by the digests of base and sources.

    sources  digest and snapshot of each, in any order
    """
    parts = sorted([digest, snapshot] for digest, snapshot in sources)
    key = digest_json([DIAGNOSIS_SCHEMA, base, parts])
    return workspace.cache / "diagnoses" / f"{key}.json"


def last_check(workspace: Workspace, artifact: Artifact) -> dict[str, Any] | None:
    """The newest check of an artifact under its name, as `check_merge` keeps it.

    None when there was none, and for a record that is damaged, was edited, or is of another merge
    or of another name of the same bytes: it is measured again.
    """
    path = check_path(workspace, artifact)
    if not path.is_file():
        return None
    try:
        record = dict(read_object(path))
        document = {key: value for key, value in record.items() if key != "seal"}
        read_check(document)
    except RefusedError:
        return None
    own = (document.get("name"), document.get("digest")) == (artifact.name, artifact.digest)
    return document if own and record == sealed(document) else None


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A check document with the digest of all that it says."""
    return {**document, "seal": digest_json(["additive.check", dict(document)])}


def check_path(workspace: Workspace, artifact: Artifact) -> Path:
    """Where the newest check of an artifact is kept."""
    return workspace.store.sidecar(artifact.digest) / "check.json"


def report_merge(workspace: Workspace, name: str) -> Pages:
    """The pages of a merge's newest check, written again.

    Raises: UnknownName; UsageError when it was never checked.
    """
    artifact = resolve_merge(workspace, name)
    document = last_check(workspace, artifact)
    if document is None:
        raise UsageError(
            f"{artifact.reference} has not been checked yet; a report needs its check",
            help=f"additive check {artifact.name}",
        )
    return write_pages(workspace, document, known_flips(workspace, artifact, document))


def _version(workspace: Workspace, name: str, digest: str | None) -> Artifact | None:
    """One version of a name, if it is (still) in the store."""
    for artifact in workspace.store.versions(name):
        if artifact.digest == digest:
            if artifact.manifest.digest != digest:
                raise IntegrityError(f"manifest is not of {name}@{short(str(digest))}")
            return artifact
    return None
