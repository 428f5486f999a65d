"""Check a merge: the same held-out items for base, specialists and merge, then the gate.

    document = check_merge(workspace, artifact)    # additive.check/1; its pages are in reports/

Targets of the merged domains are compared with their specialist, every other suite with the base.
Results are cached by digest, so a check that was done before needs no model; the verdict is always
computed again from the items. `plan_check` says what a check would evaluate, and the smallest loss
that it could detect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import write_json
from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact
from additive.evaluate.run import foreign_items
from additive.gate import visible_drop
from additive.gate.rules import NOTHING_TO_LOSE, judge_guard, judge_target
from additive.gate.verdict import overall
from additive.graders import KINDS, version_of
from additive.report.evidence import Flips
from additive.sandbox import available_level
from additive.spec.rows import count_rows
from additive.spec.suite import DEFAULT_MARGIN, GateSpec
from additive.types.checks import SuiteVerdict
from additive.types.digests import Digest, digest_file, digest_json
from additive.types.progress import Listener, Progress, silent
from additive.verbs.leaks import refuse_leaks
from additive.verbs.report import check_path, last_check, pages_are_current, sealed, write_pages
from additive.verbs.results import (
    BASE,
    MERGED,
    Results,
    collect_flips,
    known_flips,
    models_of,
    record_base_check,
    results_of,
)
from additive.workspace import environment
from additive.workspace.inputs import base_identity, gone_suites, lock_suites
from additive.workspace.workspace import SuiteUse, Workspace

PLAN_SCHEMA = "additive.plan/1"


CHANGED_SHARE = 0.1
"""The share of items on which a plan assumes that specialist and merge differ."""


def check_merge(
    workspace: Workspace, artifact: Artifact, progress: Listener = silent
) -> dict[str, Any]:
    """The check document of a merge, with its pages written.

    Raises: SpecError for suites, LeakError, IntegrityError, ResourceError.
    """
    require_unchanged(artifact, workspace.cache)
    topic = f"check {artifact.name}"
    domains = [parent.name for parent in artifact.manifest.parents]
    uses = workspace.suites(domains)
    for name in domains:
        refuse_leaks(workspace, name)
    base = base_identity(workspace)
    gaps = (*_without_target(uses, domains), *gone_suites(workspace))
    lock_suites(workspace, base)
    if not any(use.role == "target" for use in uses):
        document = overall((), gaps=gaps).document(artifact.name, artifact.digest)
        return _keep(workspace, artifact, document, ())
    key = check_key(workspace, artifact, uses, gaps)
    known = last_check(workspace, artifact)
    if known is not None and known.get("key") == key:
        if pages_are_current(workspace, known):
            return known
        return _keep(workspace, artifact, known, known_flips(workspace, artifact, known))
    for name in workspace.unwritten_suites(domains):
        progress(Progress(topic, f"{name} left out: no items", lasting=True))
    models = models_of(workspace, artifact, uses)
    results = {model.role: results_of(workspace, model, base, progress) for model in models}
    for model in models:  # their targets were just asked, which is a base check of those adopted
        if model.artifact is not None and model.role != MERGED:
            record_base_check(model.artifact, results[BASE], results[model.role])
    verdicts = []
    for verdict in (verdict for use in uses for verdict in judge(use, results)):
        if _is_elsewhere(verdict, domains):
            progress(Progress(topic, f"{verdict.suite} left out: {verdict.reason}", lasting=True))
        else:
            verdicts.append(verdict)
    document = overall(verdicts, gaps=gaps).document(artifact.name, artifact.digest)
    document["key"] = key
    progress(Progress(topic, document["verdict"], lasting=True))
    return _keep(workspace, artifact, document, collect_flips(uses, results))


def _without_target(uses: Sequence[SuiteUse], domains: Sequence[str]) -> Iterator[str]:
    """The merged domains that no target suite compares with their specialist."""
    tested = {use.spec.domain for use in uses if use.role == "target"}
    for name in domains:
        if name not in tested:
            yield f"{name}: no target suite compares the merge with its specialist"


def _is_elsewhere(verdict: SuiteVerdict, domains: Sequence[str]) -> bool:
    """Whether a suite of a domain that is not merged has nothing to lose: it says nothing of this
    merge, and cannot pass."""
    unmerged = verdict.domain is not None and verdict.domain not in domains
    return unmerged and verdict.role == "guard" and verdict.reason.startswith(NOTHING_TO_LOSE)


def judge(use: SuiteUse, results: Results) -> tuple[SuiteVerdict, ...]:
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


def check_key(
    workspace: Workspace, artifact: Artifact, uses: Sequence[SuiteUse], gaps: Sequence[str] = ()
) -> Digest:
    """Everything that decides a check, by digest.

    The merge and its name, base (weights, tokenizer, template), specialists, suites with their
    rules, items and verifiers, the files of lm-eval's tasks, graders, decoding, device and number
    format, library versions, the sandbox level where code is run, and the gaps.

    Computed without a model library, so that a check which was done before costs nothing.
    """
    items = [path for use in uses for path in workspace.item_files(use.name)]
    tasks = [path for use in uses for path in workspace.task_files(use.name)]
    files = {
        workspace.display_path(path): digest_file(path)
        for path in (*items, *tasks, *workspace.verifier_files())
        if path.is_file()
    }
    base = artifact.manifest.base
    return digest_json(
        {
            "name": artifact.name,
            "merge": artifact.digest,
            "base": base.digest if base else None,
            "parents": [parent.digest for parent in artifact.manifest.parents],
            "suites": {
                use.name: {"role": use.role, "spec": use.spec.model_dump(mode="json")}
                for use in uses
            },
            "files": files,
            "graders": {kind: version_of(kind) for kind in KINDS},
            "decoding": "greedy",
            "device": "cpu",
            "dtype": "float32",
            "sandbox_level": available_level() if _runs_code(uses, items) else None,
            "versions": environment.versions(),
            "gaps": list(gaps),
        }
    )


def _runs_code(uses: Sequence[SuiteUse], items: Sequence[Path]) -> bool:
    """Whether a grader of the suites may run code: the code grader, or a verifier."""
    graders = {task.grader for use in uses for task in use.spec.tasks}
    if "code" in graders or any(grader.endswith(".py") for grader in graders):
        return True
    marks = (b'"code"', b'.py"')
    return any(mark in path.read_bytes() for path in items if path.is_file() for mark in marks)


def _keep(
    workspace: Workspace, artifact: Artifact, document: dict[str, Any], flips: Sequence[Flips]
) -> dict[str, Any]:
    """Write the pages, then the document where `last_check` finds it, with the pages' path."""
    document["report"] = str(workspace.reports / f"{artifact.name}.html")
    pages = write_pages(workspace, document, flips)
    document["report"] = str(pages.html)
    write_json(check_path(workspace, artifact), sealed(document))
    return document


@dataclass(frozen=True)
class CheckPlan:
    """A check as it would be run: per suite its items and the smallest loss it could detect."""

    artifact: Artifact
    suites: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """As `additive check --plan --json` prints it."""
        return {
            "schema": PLAN_SCHEMA,
            "name": self.artifact.name,
            "digest": self.artifact.digest,
            "suites": list(self.suites),
        }

    def text(self) -> str:
        """The plan for people."""
        lines = [
            f"{s['suite']:24} {s['role']:6} {s['items']:6} items  margin {s['margin']:g}  "
            f"a loss of {s['visible_drop']:.3f} would be detected"
            for s in self.suites
        ]
        return "\n".join(
            [f"check    {self.artifact.reference}", *(lines or ["no suite for these domains"])]
        )


def plan_check(workspace: Workspace, artifact: Artifact) -> CheckPlan:
    """What a check would evaluate and could detect, if a tenth of the items change.

    Raises: SpecError for suites.
    """
    suites = []
    for use in workspace.suites([parent.name for parent in artifact.manifest.parents]):
        gate = use.spec.gate
        margin = gate.margin if gate and gate.margin is not None else DEFAULT_MARGIN
        items = sum(count_rows(path) for path in workspace.item_files(use.name) if path.is_file())
        items += foreign_items(use.spec, use.directory)
        items = min(items, use.spec.limit or items)
        suites.append(
            {
                "suite": use.name,
                "role": use.role,
                "items": items,
                "margin": margin,
                "visible_drop": visible_drop(items, CHANGED_SHARE, margin) if items else 1.0,
            }
        )
    return CheckPlan(artifact, tuple(suites))
