"""Merges in the store: found by what decides them or by name, and built once under a lock.

    artifact = find_merge(workspace, request)            the same request was built before
    artifact = resolve_merge(workspace, "code+math")     whatever the order of the domains

No engine is imported here, so that a merge which was built before costs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from additive.artifacts.intact import is_intact
from additive.artifacts.locks import lock
from additive.artifacts.manifest import Artifact
from additive.errors import UnknownName, UsageError
from additive.types.digests import digest_json
from additive.types.progress import Listener, Progress
from additive.types.references import parse_reference
from additive.verbs.merge_request import MergeRequest
from additive.workspace.inputs import lock_rows
from additive.workspace.workspace import Workspace

NOTED_ROUNDING = 0.2
"""The share of the delta whose loss in rounding is worth a note."""


class IdentifiedMerge(Protocol):
    """What a merge is found by: its name, and `record()`, all that decides its bytes."""

    @property
    def name(self) -> str: ...

    def record(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class BuiltMerge:
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
            "energy": manifest.times.get("energy", {}),
            "reused": self.reused,
            "notes": list(manifest.notes),
        }

    def line(self) -> str:
        """What it is, in a line, and a line for each note."""
        fields = self.document()
        state = "was there already" if self.reused else "built"
        rounded = fields["rounded_away"]
        lost = f", {rounded:.1%} of the delta lost in rounding" if rounded is not None else ""
        notes = "".join(f"\n  note: {note}" for note in fields["notes"])
        return (
            f"{self.artifact.reference}  {fields['method']}, scale {fields['scale']:g}{lost}"
            f"  {state}{notes}"
        )


def find_merge(workspace: Workspace, request: IdentifiedMerge) -> Artifact | None:
    """The newest frozen merge with the same request; None where its bytes are damaged."""
    record = request.record()
    for artifact in reversed(workspace.store.current(request.name)):
        manifest = artifact.manifest
        if manifest.kind == "merge" and manifest.spec.get("request") == record:
            return artifact if is_intact(artifact, workspace.cache) else None
    return None


def reuse_merge(workspace: Workspace, request: MergeRequest) -> BuiltMerge | None:
    """The merge that answers a request already; the rows that decide it are recorded as read.

    Raises: IntegrityError for a damaged additive.lock; ResourceError.
    """
    artifact = find_merge(workspace, request)
    if artifact is None:
        return None
    lock_rows(workspace, request.base, request.rows())
    return BuiltMerge(artifact, reused=True)


def resolve_merge(workspace: Workspace, name: str) -> Artifact:
    """The merge that a name means, whatever the order of the domains in it.

    Raises: UnknownName with the nearest merge; UsageError for a specialist.
    """
    reference = parse_reference(name)
    store, wanted = workspace.store, reference.name
    merges = {n for n in store.names() for a in store.current(n) if a.manifest.kind == "merge"}
    domains = wanted.split("+")
    same = [m for m in sorted(merges) if sorted(m.split("+")) == sorted(domains)]
    if wanted not in merges and same:
        wanted = same[0]
    elif wanted not in merges and store.versions(wanted):
        store.resolve(wanted)  # refuses what an older additive froze
        raise UsageError(
            f"{wanted} is a specialist; expected a merge", help=f"additive merge {wanted}"
        )
    elif wanted not in merges:
        help = f"additive merge {' '.join(domains)}" if len(domains) > 1 else None
        raise UnknownName("merge", wanted, merges, help=help)
    return store.resolve(f"{wanted}@{reference.digest}" if reference.digest else wanted)


def build_once(
    workspace: Workspace,
    request: IdentifiedMerge,
    freeze: Callable[[], Artifact],
    progress: Listener,
    *,
    wait: bool,
) -> BuiltMerge:
    """The merge with this request, or what `freeze` builds while this process holds its lock.

    It is looked for again under the lock: another process may have built it in the meantime.

    Raises: LockedError, unless `wait`; what `freeze` raises.
    """
    artifact = find_merge(workspace, request)
    if artifact is not None:
        return BuiltMerge(artifact, reused=True)
    topic = f"merge {request.name}"
    path = workspace.locks / f"merge-{digest_json(request.name)[:16]}.lock"
    with lock(path, topic, None if wait else 0.0, lambda line: progress(Progress(topic, line))):
        artifact = find_merge(workspace, request)
        if artifact is not None:
            return BuiltMerge(artifact, reused=True)
        workspace.store.reclaim()
        artifact = freeze()
    progress(Progress(topic, f"frozen as {artifact.reference}", lasting=True))
    return BuiltMerge(artifact, reused=False)


def rounding_notes(rounded_away: float) -> tuple[str, ...]:
    """A note where rounding to the output's dtype lost much of the delta.

    rounded_away  ‖round(W+Δ)−W−Δ‖/‖Δ‖, [0, 1]
    """
    if rounded_away < NOTED_ROUNDING:
        return ()
    return (
        f"rounding to the output's dtype lost {rounded_away:.0%} of the delta;"
        " --output adapter or --dtype float32 keeps it",
    )
