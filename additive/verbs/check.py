"""Check a merge: the same held-out items for base, specialists and merge, then the gate.

    document = check_merge(workspace, artifact)    # additive.check/1; a report beside it

Targets of the merged domains are compared with their specialist, every other suite with the base.
Results are cached by digest, so a check that was done before costs no model; the verdict is always
computed anew from the items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from additive.artifacts.atomic import write_json
from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact
from additive.gate.rules import SuiteVerdict, judge_guard, judge_target
from additive.gate.verdict import overall
from additive.report.evidence import Flips
from additive.spec.suite import GateSpec
from additive.types.digests import Digest, digest_file, digest_json
from additive.types.progress import Listener, Progress, silent
from additive.verbs.base_check import record_base_check
from additive.verbs.report import check_path, last_check, pages_stand, write_pages
from additive.verbs.results import (
    BASE,
    MERGED,
    Contestant,
    Results,
    _flips,
    contestants_of,
    flips_between,
    results_of,
)
from additive.workspace import SuiteUse, Workspace, environment
from additive.workspace.inputs import lock_suites


def check_merge(
    workspace: Workspace, artifact: Artifact, progress: Listener = silent
) -> dict[str, Any]:
    """The check document of a merge, with its pages written.

    Raises: SpecError for suites, LeakError, IntegrityError, ResourceError.
    """
    require_unchanged(artifact, workspace.cache)
    domains = [parent.name for parent in artifact.manifest.parents]
    uses = workspace.suites(domains)
    lock_suites(workspace)
    if not any(use.role == "target" for use in uses):
        document = overall(()).document(artifact.name, artifact.digest)
        return _keep(workspace, artifact, document, ())
    key = check_key(workspace, artifact, uses)
    known = last_check(workspace, artifact)
    if known is not None and known.get("key") == key:
        if pages_stand(workspace, known):
            return known
        return _keep(workspace, artifact, known, flips_between(workspace, artifact, known))
    for name in workspace.unwritten_suites(domains):
        progress(Progress(f"check {artifact.name}", f"{name} left out: no items", lasting=True))
    contestants = contestants_of(workspace, artifact, uses)
    results = {
        contestant.role: results_of(workspace, contestant, progress) for contestant in contestants
    }
    _settle_claims(contestants, results)
    verdicts = [line for use in uses for line in judged(use, results)]
    document = overall(verdicts).document(artifact.name, artifact.digest)
    document["key"] = key
    flips = _flips(workspace, uses, results)
    progress(Progress(f"check {artifact.name}", document["verdict"], lasting=True))
    return _keep(workspace, artifact, document, flips)


def _settle_claims(contestants: Sequence[Contestant], results: Results) -> None:
    """What was just asked is a functional check of every adopted specialist."""
    for contestant in contestants:
        if contestant.artifact is not None and contestant.role != MERGED:
            record_base_check(contestant.artifact, results[BASE], results[contestant.role])


def judged(use: SuiteUse, results: Results) -> tuple[SuiteVerdict, ...]:
    """The verdicts on a suite: one, or one for each of its sides (`suite/side`)."""
    sides: Mapping[str, GateSpec] = use.spec.sides or {}
    if not sides:
        return (_judge(use, use.name, results, use.spec.gate),)
    return tuple(_judge(use, f"{use.name}/{side}", results, rule) for side, rule in sides.items())


def _judge(use: SuiteUse, suite: str, results: Results, rule: GateSpec | None) -> SuiteVerdict:
    rule = rule or GateSpec.model_validate({})
    base, merged = results[BASE][suite], results[MERGED][suite]
    if use.role == "guard":
        return judge_guard(base, merged, rule, use.spec.domain)
    specialist = results[str(use.spec.domain)][suite]
    return judge_target(base, specialist, merged, rule, use.spec.domain)


def check_key(workspace: Workspace, artifact: Artifact, uses: Sequence[SuiteUse]) -> Digest:
    """Everything that decides a check, by digest: models, suites, items, verifiers, rules, library
    versions.

    Computed without a model library, so that a check which is there already costs nothing.
    """
    items = [path for use in uses for path in workspace.item_files(use.name)]
    files = {
        workspace.shown(path): digest_file(path)
        for path in (*items, *workspace.verifier_files())
        if path.is_file()
    }
    suites = {
        use.name: {"role": use.role, "spec": use.spec.model_dump(mode="json")} for use in uses
    }
    parents = [parent.digest for parent in artifact.manifest.parents]
    base = artifact.manifest.base
    return digest_json(
        {
            "merge": artifact.digest,
            "base": base.digest if base else None,
            "parents": parents,
            "suites": suites,
            "files": files,
            "versions": environment.versions(),
        }
    )


def _keep(
    workspace: Workspace,
    artifact: Artifact,
    document: dict[str, Any],
    flips: Sequence[Flips],
) -> dict[str, Any]:
    """Write the pages, then the document where it is found again; gives it with the page's path."""
    document["report"] = str(workspace.reports / f"{artifact.name}.html")
    pages = write_pages(workspace, document, flips)
    document["report"] = str(pages.html)
    write_json(check_path(workspace, artifact), document)
    return document
