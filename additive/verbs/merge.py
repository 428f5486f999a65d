"""Build a merge of specialists: scale, plan, streaming engine, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.manifest import Artifact, ManifestDraft, Parent
from additive.types.digests import Digest
from additive.types.progress import Listener, silent, under
from additive.verbs.built import Built, build_once
from additive.verbs.composing import build_recipe, planned
from additive.verbs.gram_matrices import ensure_grams
from additive.verbs.requests import MergeRequest
from additive.workspace import Workspace, environment
from additive.workspace.inputs import lock_rows

if TYPE_CHECKING:
    from additive.merge.planned import Plan


ROUNDED_AWAY_MUCH = 0.2


def build_merge(
    workspace: Workspace, request: MergeRequest, progress: Listener = silent, *, wait: bool = False
) -> Built:
    """The merge that a request describes.

    Raises: LockedError; UnknownName, UsageError, SpecError for method and parameters;
    CompatibilityError, IntegrityError, SecurityError for the sources; ResourceError.
    """

    told = under(f"merge {request.name}", progress)

    def freeze() -> Artifact:
        ensure_grams(workspace, request, progress)
        scale, tried = chosen_scale(workspace, request, progress)
        made = planned(workspace, build_recipe(workspace, request, scale))
        return _execute(workspace, request, made, tried, told)

    built = build_once(workspace, request, freeze, progress, wait=wait)
    lock_rows(workspace, request.base, _rows_read(workspace, request))
    return built


def _rows_read(workspace: Workspace, request: MergeRequest) -> dict[Path, Digest]:
    """The data files that decide the merge: those that chose its scale or weigh its sources."""
    read = {**request.validation, **request.prompts}
    digests = {}
    for name in {source.artifact.name for source in request.sources}:
        files = (workspace.data_files(name, split) for split in ("train", "validation") if read)
        for path in (path for part in files for path in part):
            if f"{name}/{path.name}" in read:
                digests[path] = read[f"{name}/{path.name}"]
    return digests


def chosen_scale(
    workspace: Workspace, request: MergeRequest, progress: Listener
) -> tuple[float, Mapping[str, Any]]:
    """The request's scale; "validation" is resolved by trying a few on validation rows."""
    if isinstance(request.recipe.scale, int | float):
        return float(request.recipe.scale), {}
    from additive.verbs.scale import choose_scale

    choice = choose_scale(workspace, request, progress)
    return choice.scale, asdict(choice)


def _execute(
    workspace: Workspace,
    request: MergeRequest,
    made: Plan,
    tried: Mapping[str, Any],
    progress: Listener,
) -> Artifact:
    from additive.artifacts.content import cached_leaves
    from additive.merge.engine import execute

    started = environment.now()
    leaves = cached_leaves(workspace.base_directory(), "model", workspace.cache)
    with workspace.store.staging("merge", request.name) as staged:
        report = execute(made, staged, progress, leaves)
        draft = ManifestDraft(
            kind="merge",
            name=request.name,
            base=request.base,
            parents=_parents(request),
            spec={**made.recipe.resolved(), "request": request.record()},
            seed=request.recipe.seed,
            norms=report.norms,
            notes=(
                *request.notes,
                *_balance_notes(request, made),
                *made.notes,
                *report.notes,
                *rounding_advice(report.rounded_away),
            ),
            versions=environment.versions(),
            hardware=environment.hardware(request.recipe.device),
            times={
                "started": started,
                "frozen": environment.now(),
                "rounded_away": report.rounded_away,
                **({"energy": report.energy} if report.energy else {}),
                "scales": dict(tried),
            },
        )
        return workspace.store.freeze(Path(staged), draft)


def _parents(request: MergeRequest) -> tuple[Parent, ...]:
    return tuple(
        Parent(name=s.artifact.name, digest=s.artifact.digest, weight=s.weight)
        for s in request.sources
    )


def _balance_notes(request: MergeRequest, made: Plan) -> tuple[str, ...]:
    """Which weights the step `balance` made smaller."""
    asked = {source.artifact.digest: source.weight for source in request.sources}
    return tuple(
        f"balance: weight of {source.name} is {source.weight:.3g} in place of"
        f" {asked[source.digest]:g}"
        for source in made.recipe.sources
        if source.weight != asked[source.digest]
    )


def rounding_advice(rounded_away: float) -> tuple[str, ...]:
    """A note where rounding to the output lost much of the delta."""
    if rounded_away < ROUNDED_AWAY_MUCH:
        return ()
    return (
        f"rounding to the output's numbers lost {rounded_away:.0%} of the delta;"
        " --output adapter or --dtype float32 keeps it",
    )
