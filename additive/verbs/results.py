"""The items behind a verdict, as files that `additive gate` reads.

results/base/math-held-out.json
results/math/math-held-out.json
results/math+code+safety/math-held-out.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.atomic import write_json
from additive.artifacts.manifest import Artifact
from additive.errors import UnknownName
from additive.evaluate import Setting, Subject, evaluate
from additive.evaluate.items import read_items
from additive.report.evidence import Flips, flips_of
from additive.types.digests import Digest, digest_json, short
from additive.types.progress import Listener, Progress, silent
from additive.types.results import SuiteResult, result_document
from additive.workspace import SuiteUse, Workspace
from additive.workspace.inputs import base_identity

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel


def write_results(
    workspace: Workspace, artifact: Artifact, directory: Path, progress: Listener = silent
) -> tuple[Path, ...]:
    """Write what each model of a merge's check scored: `additive.result/1`, a file per suite.

    A two-sided suite is a file per side (`safety-held-out/refuse.json`). Answers come from the
    cache; what is not in it is asked. Gives the files, none where there is nothing to check.

    Raises: as `check_merge`.
    """
    uses = workspace.suites([parent.name for parent in artifact.manifest.parents])
    if not any(use.role == "target" for use in uses):
        return ()
    written = []
    for contestant in contestants_of(workspace, artifact, uses):
        name = contestant.artifact.name if contestant.artifact else BASE
        for suite, result in results_of(workspace, contestant, progress).items():
            path = directory / name / f"{suite}.json"
            write_json(path, result_document(result))
            written.append(path)
    return tuple(written)


Results = Mapping[str, Mapping[str, SuiteResult]]


BASE, MERGED = "base", "merged"


@dataclass(frozen=True)
class Contestant:
    """A model of a check, and the suites it is asked; `artifact` is None for the base."""

    role: str
    artifact: Artifact | None
    uses: tuple[SuiteUse, ...]


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


def results_of(
    workspace: Workspace, contestant: Contestant, progress: Listener
) -> Mapping[str, SuiteResult]:
    """A model's results by suite (or suite/side); it is loaded once, when it has to answer."""
    from additive.models.loading import load_tokenizer
    from additive.verbs.ask import load_named

    @cache
    def load() -> PreTrainedModel:
        return load_named(workspace, contestant.artifact)

    setting = Setting(load_tokenizer(workspace.base_directory()))
    subject = Subject(_name(workspace, contestant), _digest(workspace, contestant), load)
    found: dict[str, SuiteResult] = {}
    for use in contestant.uses:
        progress(Progress(f"check {contestant.role}", use.name))
        directory = workspace.cache / "results"
        for result in evaluate(subject, use.spec, use.directory, setting, directory, progress):
            found[result.suite] = result
    progress(Progress(f"check {contestant.role}", _said(found), lasting=True))
    return found


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
