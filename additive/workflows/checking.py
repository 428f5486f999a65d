"""Check a merge: the same held-out items for base, specialists and merge, then the gate.

    document = check_merge(workspace, artifact)    # additive.check/1; a report beside it

Targets of the merged domains are compared with their specialist, every other suite with the base.
Results are cached by digest, so a check that was done before costs no model; the verdict is always
computed anew from the items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from additive.artifacts.artifact import Artifact
from additive.artifacts.atomic import write_json
from additive.artifacts.intact import require_unchanged
from additive.errors import UnknownName
from additive.evaluate import Setting, Subject, evaluate
from additive.evaluate.items import read_items
from additive.gate.rules import SuiteVerdict, judge_guard, judge_target
from additive.gate.verdict import overall
from additive.report.flips import Flips, flips_of
from additive.spec.gate import GateSpec
from additive.types.digests import Digest, digest_file, digest_json, short
from additive.types.progress import Listener, Progress, silent
from additive.types.results import SuiteResult
from additive.workflows import provenance
from additive.workflows.functional import settle
from additive.workflows.reporting import check_path, last_check, pages_stand, write_pages
from additive.workspace import SuiteUse, Workspace
from additive.workspace.inputs import base_identity, lock_suites

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel

Results = Mapping[str, Mapping[str, SuiteResult]]
BASE, MERGED = "base", "merged"


@dataclass(frozen=True)
class Contestant:
    """A model of a check, and the suites it is asked; `artifact` is None for the base."""

    role: str
    artifact: Artifact | None
    uses: tuple[SuiteUse, ...]


def check_merge(
    workspace: Workspace, artifact: Artifact, listen: Listener = silent
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
        listen(Progress(f"check {artifact.name}", f"{name} left out: no items", lasting=True))
    contestants = contestants_of(workspace, artifact, uses)
    results = {
        contestant.role: results_of(workspace, contestant, listen) for contestant in contestants
    }
    _settle_claims(contestants, results)
    verdicts = [line for use in uses for line in judged(use, results)]
    document = overall(verdicts).document(artifact.name, artifact.digest)
    document["key"] = key
    flips = _flips(workspace, uses, results)
    listen(Progress(f"check {artifact.name}", document["verdict"], lasting=True))
    return _keep(workspace, artifact, document, flips)


def contestants_of(
    workspace: Workspace, artifact: Artifact, uses: Sequence[SuiteUse]
) -> tuple[Contestant, ...]:
    """Base and merge on every suite, each specialist on the targets of its own domain.

    Raises: UnknownName when a specialist that the merge was made of is gone.
    """
    specialists = []
    for parent in artifact.manifest.parents:
        own = tuple(u for u in uses if u.role == "target" and u.spec.domain == parent.name)
        if own:
            version = _version(workspace, parent.name, parent.digest)
            specialists.append(Contestant(parent.name, version, own))
    everything = tuple(uses)
    return (
        Contestant(BASE, None, everything),
        *specialists,
        Contestant(MERGED, artifact, everything),
    )


def _settle_claims(contestants: Sequence[Contestant], results: Results) -> None:
    """What was just asked is a functional check of every adopted specialist."""
    for contestant in contestants:
        if contestant.artifact is not None and contestant.role != MERGED:
            settle(contestant.artifact, results[BASE], results[contestant.role])


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
            "versions": provenance.versions(),
        }
    )


def flips_between(
    workspace: Workspace, artifact: Artifact, document: Mapping[str, Any]
) -> tuple[Flips, ...]:
    """The lost items of a check that is there already, from the cached results.

    Raises: as `check_merge`.
    """
    if document["verdict"] == "not checked":
        return ()
    domains = [parent.name for parent in artifact.manifest.parents]
    uses = workspace.suites(domains)
    contestants = contestants_of(workspace, artifact, uses)
    results = {c.role: results_of(workspace, c, silent) for c in contestants}
    return _flips(workspace, uses, results)


def results_of(
    workspace: Workspace, contestant: Contestant, listen: Listener
) -> Mapping[str, SuiteResult]:
    """A model's results by suite (or suite/side); it is loaded once, when it has to answer."""
    from additive.models.loading import load_tokenizer
    from additive.workflows.asking import load_named

    @cache
    def load() -> PreTrainedModel:
        return load_named(workspace, contestant.artifact)

    setting = Setting(load_tokenizer(workspace.base_directory()))
    subject = Subject(_name(workspace, contestant), _digest(workspace, contestant), load)
    found: dict[str, SuiteResult] = {}
    for use in contestant.uses:
        listen(Progress(f"check {contestant.role}", use.name))
        directory = workspace.cache / "results"
        for result in evaluate(subject, use.spec, use.directory, setting, directory, listen):
            found[result.suite] = result
    listen(Progress(f"check {contestant.role}", _said(found), lasting=True))
    return found


def _said(found: Mapping[str, SuiteResult]) -> str:
    return ", ".join(f"{suite} {result.mean:.3f}" for suite, result in found.items())


def _name(workspace: Workspace, contestant: Contestant) -> str:
    if contestant.artifact is not None:
        return contestant.artifact.reference
    base = base_identity(workspace)
    return f"{base.id}@{short(base.digest)}"


def _digest(workspace: Workspace, contestant: Contestant) -> Digest:
    """What stands for a model: its own identity, on the base's."""
    base = base_identity(workspace).digest
    own = contestant.artifact.digest if contestant.artifact else base
    return digest_json([base, own])


def _flips(workspace: Workspace, uses: Sequence[SuiteUse], results: Results) -> tuple[Flips, ...]:
    """The lost items of every target, with what was asked and expected."""
    found = []
    for use in uses:
        if use.role != "target":
            continue
        prompts, expected = _questions(workspace, use)
        for suite, reference in results[str(use.spec.domain)].items():
            if suite.partition("/")[0] == use.name:
                found.append(flips_of(reference, results[MERGED][suite], prompts, expected))
    return tuple(found)


def _questions(workspace: Workspace, use: SuiteUse) -> tuple[dict[str, str], dict[str, str]]:
    prompts, expected = {}, {}
    for item in read_items(use.spec, use.directory):
        prompts[item.id] = str(item.fields["prompt"])
        expected[item.id] = str(
            item.fields.get("answer", item.fields.get("completion", item.fields.get("side", "")))
        )
    return prompts, expected


def _version(workspace: Workspace, name: str, digest: Digest) -> Artifact:
    for version in workspace.store.versions(name):
        if version.digest == digest:
            return version
    known = [short(version.digest) for version in workspace.store.versions(name)]
    adopted = name in workspace.domain_names() and workspace.domain(name).adopted
    mend = f"additive adopt DIR --as {name}" if adopted else f"additive train {name}"
    raise UnknownName(f"version of {name}", short(digest), known, help=mend)


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
