"""Build a merge: scale, plan, streaming engine, store; or find the one that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.artifact import Artifact
from additive.artifacts.locks import lock
from additive.artifacts.manifest import ManifestDraft, Parent
from additive.types.digests import digest_json
from additive.types.progress import Listener, Progress, silent
from additive.workflows import provenance
from additive.workflows.composing import build_recipe
from additive.workflows.grams import ensure_grams
from additive.workflows.requests import MergeRequest
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.merge.plan import Plan
    from additive.merge.recipe import Recipe

ROUNDED_AWAY_MUCH = 0.2


@dataclass(frozen=True)
class Built:
    """A frozen merge, and whether it was there before."""

    artifact: Artifact
    reused: bool

    def document(self) -> dict[str, Any]:
        """As `additive merge --json` prints it, but for the verdict."""
        manifest = self.artifact.manifest
        recipe = manifest.spec
        return {
            "name": self.artifact.name,
            "digest": self.artifact.digest,
            "path": str(self.artifact.path),
            "method": recipe["method"]["name"],
            "scale": recipe["scale"],
            "output": recipe["output"],
            "sources": [
                {"name": p.name, "digest": p.digest, "weight": p.weight} for p in manifest.parents
            ],
            "rounded_away": manifest.times.get("rounded_away"),
            "reused": self.reused,
            "notes": list(manifest.notes),
        }

    def line(self) -> str:
        """What it is, in a line, with what there is to know about it."""
        said = self.document()
        state = "was there already" if self.reused else "built"
        rounded = said["rounded_away"]
        lost = f", {rounded:.1%} of the delta lost in rounding" if rounded is not None else ""
        notes = "".join(f"\n  note: {note}" for note in said["notes"])
        return (
            f"{self.artifact.reference}  {said['method']}, scale {said['scale']:g}{lost}"
            f"  {state}{notes}"
        )


def build_merge(
    workspace: Workspace, request: MergeRequest, listen: Listener = silent, *, wait: bool = False
) -> Built:
    """The merge that a request describes.

    Raises: LockedError; UnknownName, UsageError, SpecError for method and parameters;
    CompatibilityError, IntegrityError, SecurityError for the sources; ResourceError.
    """
    found = find_merge(workspace, request)
    if found is not None:
        return Built(found, reused=True)
    topic = f"merge {request.name}"
    path = workspace.locks / f"merge-{digest_json(request.name)[:16]}.lock"
    with lock(path, topic, None if wait else 0.0, lambda line: listen(Progress(topic, line))):
        found = find_merge(workspace, request)
        if found is not None:
            return Built(found, reused=True)
        workspace.store.reclaim()
        ensure_grams(workspace, request, listen)
        scale, tried = chosen_scale(workspace, request, listen)
        made = planned(workspace, build_recipe(workspace, request, scale))
        artifact = _execute(workspace, request, made, tried, listen)
    listen(Progress(topic, f"frozen as {artifact.reference}", lasting=True))
    return Built(artifact, reused=False)


def find_merge(workspace: Workspace, request: MergeRequest) -> Artifact | None:
    """The newest frozen merge with the same request; reads manifests only."""
    record = request.record()
    for artifact in reversed(workspace.store.versions(request.name)):
        manifest = artifact.manifest
        if manifest.kind == "merge" and manifest.spec.get("request") == record:
            return artifact
    return None


def planned(workspace: Workspace, recipe: Recipe) -> Plan:
    """The engine's plan; every refusal that headers can give comes from here."""
    from additive.merge.plan import plan
    from additive.workspace.inputs import base_identity

    root = workspace.store.root
    root.mkdir(parents=True, exist_ok=True)
    return plan(recipe, workspace.base_directory(), base_identity(workspace), disk=root)


def chosen_scale(
    workspace: Workspace, request: MergeRequest, listen: Listener
) -> tuple[float, Mapping[str, Any]]:
    """The request's scale; "validation" is resolved by trying a few on validation rows."""
    if isinstance(request.scale, int | float):
        return float(request.scale), {}
    from additive.workflows.scales import choose_scale

    choice = choose_scale(workspace, request, listen)
    return choice.scale, asdict(choice)


def _execute(
    workspace: Workspace,
    request: MergeRequest,
    made: Plan,
    tried: Mapping[str, Any],
    listen: Listener,
) -> Artifact:
    from additive.artifacts.identity import cached_leaves
    from additive.merge.engine import execute

    started = provenance.now()
    leaves = cached_leaves(workspace.base_directory(), "model", workspace.cache)
    with workspace.store.staging("merge", request.name) as staged:
        report = execute(made, staged, listen, leaves)
        draft = ManifestDraft(
            kind="merge",
            name=request.name,
            base=request.base,
            parents=_parents(request),
            spec={**made.recipe.resolved(), "request": request.record()},
            seed=request.seed,
            norms=report.norms,
            notes=(
                *request.notes,
                *_balance_notes(request, made),
                *made.notes,
                *report.notes,
                *rounding_advice(report.rounded_away),
            ),
            versions=provenance.versions(),
            hardware=provenance.hardware(),
            times={
                "started": started,
                "frozen": provenance.now(),
                "rounded_away": report.rounded_away,
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
