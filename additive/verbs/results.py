"""What the models of a check scored on its suites, and what follows from it before any verdict.

    models = models_of(workspace, artifact, uses)           base, each specialist, merge
    results = {model.role: results_of(workspace, model, base) for model in models}
    collect_flips(uses, results)                            items that the merge lost

Answers come from the cache of evaluations; a model is loaded only when it has to answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.atomic import write_json
from additive.artifacts.base_check import functional_check, is_adopted, keep_functional_check
from additive.artifacts.manifest import Artifact, BaseIdentity
from additive.errors import UnknownName
from additive.evaluate import Setting, Subject, evaluate
from additive.evaluate.items import read_items
from additive.gate.compare import compare
from additive.models.loading import load_tokenizer
from additive.report.evidence import Flips, flips_of
from additive.types.digests import Digest, digest_json, short
from additive.types.progress import Listener, Progress, silent
from additive.types.results import SuiteResult, pair, result_document
from additive.verbs.ask import load_named
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import SuiteUse, Workspace

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel


BASE, MERGED = "base", "merged"


BASE_CHECK_ALPHA = 0.05


Results = Mapping[str, Mapping[str, SuiteResult]]
"""By role of the model, then by suite (or suite/side)."""


@dataclass(frozen=True)
class CheckedModel:
    """A model of a check and the suites that it is asked.

    role      `base`, `merged`, or the name of a specialist
    artifact  None for the base
    """

    role: str
    artifact: Artifact | None
    uses: tuple[SuiteUse, ...]


def models_of(
    workspace: Workspace, merge: Artifact, uses: Sequence[SuiteUse]
) -> tuple[CheckedModel, ...]:
    """Base and merge on every suite, each specialist on the targets of its own domain.

    Raises: UnknownName when a specialist that the merge was made of is gone.
    """
    specialists = []
    for parent in merge.manifest.parents:
        own = tuple(u for u in uses if u.role == "target" and u.spec.domain == parent.name)
        if own:
            version = _version(workspace, parent.name, parent.digest)
            specialists.append(CheckedModel(parent.name, version, own))
    everything = tuple(uses)
    return (
        CheckedModel(BASE, None, everything),
        *specialists,
        CheckedModel(MERGED, merge, everything),
    )


def _version(workspace: Workspace, name: str, digest: Digest) -> Artifact:
    versions = workspace.store.versions(name)
    for version in versions:
        if version.digest == digest:
            return version
    adopted = name in workspace.domain_names() and workspace.domain(name).adopted
    help = f"additive adopt DIR --as {name}" if adopted else f"additive train {name}"
    known = [short(version.digest) for version in versions]
    raise UnknownName(f"version of {name}", short(digest), known, help=help)


def results_of(
    workspace: Workspace, model: CheckedModel, base: BaseIdentity, progress: Listener = silent
) -> Mapping[str, SuiteResult]:
    """A model's results by suite (or suite/side).

    Raises: what loading the model and reading the suites raise.
    """

    @cache
    def load() -> PreTrainedModel:
        return load_named(workspace, model.artifact)

    artifact, topic = model.artifact, f"check {model.role}"
    name = artifact.reference if artifact else f"{base.id}@{short(base.digest)}"
    digest = digest_json([base.digest, artifact.digest if artifact else base.digest])
    subject = Subject(name, digest, load)
    setting = Setting(load_tokenizer(workspace.base_directory()))
    results: dict[str, SuiteResult] = {}
    for use in model.uses:
        progress(Progress(topic, use.name))
        directory = workspace.cache / "results"
        for result in evaluate(subject, use.spec, use.directory, setting, directory, progress):
            results[result.suite] = result
    scores = ", ".join(
        f"{suite} {'no score' if result.mean is None else f'{result.mean:.3f}'}"
        for suite, result in results.items()
    )
    progress(Progress(topic, scores, lasting=True))
    return results


def write_results(
    workspace: Workspace, artifact: Artifact, directory: Path, progress: Listener = silent
) -> tuple[Path, ...]:
    """Write what each model of a merge's check scored, a file per suite that `additive gate` reads:

        results/base/math-held-out.json
        results/math/math-held-out.json
        results/math+code+safety/math-held-out.json

    A two-sided suite is a file per side (`safety-held-out/refuse.json`). Returns the files; none
    where there is nothing to check.

    Raises: as `check_merge`.
    """
    uses = workspace.suites([parent.name for parent in artifact.manifest.parents])
    if not any(use.role == "target" for use in uses):
        return ()
    base, paths = base_identity(workspace), []
    for model in models_of(workspace, artifact, uses):
        name = model.artifact.name if model.artifact else BASE
        for suite, result in results_of(workspace, model, base, progress).items():
            path = directory / name / f"{suite}.json"
            write_json(path, result_document(result))
            paths.append(path)
    return tuple(paths)


def collect_flips(uses: Sequence[SuiteUse], results: Results) -> tuple[Flips, ...]:
    """The items of every target that the specialist answers and the merge does not."""
    flips = []
    for use in uses:
        if use.role != "target":
            continue
        fields = {item.id: item.fields for item in read_items(use.spec, use.directory)}
        prompts = {key: str(item["prompt"]) for key, item in fields.items()}
        expected = {
            key: str(item.get("answer", item.get("completion", item.get("side", ""))))
            for key, item in fields.items()
        }
        for suite, reference in results[str(use.spec.domain)].items():
            if suite.partition("/")[0] == use.name:
                flips.append(flips_of(reference, results[MERGED][suite], prompts, expected))
    return tuple(flips)


def known_flips(
    workspace: Workspace, artifact: Artifact, document: Mapping[str, Any]
) -> tuple[Flips, ...]:
    """The lost items of a check that was done before, from the cached results.

    Raises: as `check_merge`.
    """
    if document["verdict"] == "not checked":
        return ()
    uses = workspace.suites([parent.name for parent in artifact.manifest.parents])
    base = base_identity(workspace)
    models = models_of(workspace, artifact, uses)
    return collect_flips(uses, {m.role: results_of(workspace, m, base) for m in models})


def record_base_check(
    artifact: Artifact, base: Mapping[str, SuiteResult], specialist: Mapping[str, SuiteResult]
) -> Mapping[str, Any] | None:
    """Check that an adopted specialist beats the base, and record it beside the artifact.

    An adapter of another base with the same shapes loads without an error and answers worse than
    the base; one of this base answers better. Results are by suite (or suite/side), and all of them
    count as one set of questions. None for a specialist that was trained here, or without any
    question.

    Raises: ResourceError; CompatibilityError when the results are not of the same items.
    """
    names = sorted(base.keys() & specialist.keys())
    if not is_adopted(artifact.manifest) or not names:
        return None
    check = compare_with_base([base[name] for name in names], [specialist[name] for name in names])
    known = functional_check(artifact)
    if known is None or any(known.get(key) != value for key, value in check.items()):
        keep_functional_check(artifact, check)
    return check


def compare_with_base(
    base: Sequence[SuiteResult], specialist: Sequence[SuiteResult]
) -> dict[str, Any]:
    """The verdict on an adopted specialist's gain: pass, fail, or cannot tell.

    Judged as the gate judges a gain: it passes when the lower end of the two-sided 90 % interval of
    specialist − base over paired items is above 0, and fails when the upper end is below.

    Raises: CompatibilityError when the results are not of the same items and prompts.
    """
    items = [item for b, s in zip(base, specialist, strict=True) for item in pair(b, s)]
    gain = compare(items, BASE_CHECK_ALPHA)
    verdict = "pass" if gain.low > 0 else "fail" if gain.high < 0 else "cannot tell"
    return {
        "verdict": verdict,
        "suites": [result.suite for result in base],
        "n": gain.n,
        "base_score": sum(item.reference for item in items) / gain.n,
        "score": sum(item.candidate for item in items) / gain.n,
        "difference": gain.difference,
        "interval": [gain.low, gain.high],
        "method": gain.method,
    }
