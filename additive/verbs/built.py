"""A merge is built once: found again by its request, or frozen under the lock of its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from additive.artifacts.intact import is_intact
from additive.artifacts.locks import lock
from additive.artifacts.manifest import Artifact
from additive.types.digests import digest_json
from additive.types.progress import Listener, Progress
from additive.workspace import Workspace


class IdentifiedMerge(Protocol):
    """What a merge is found by: its name, and `record()`, all that decides its bytes."""

    @property
    def name(self) -> str: ...

    def record(self) -> dict[str, Any]: ...


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
            "energy": manifest.times.get("energy", {}),
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


def find_merge(workspace: Workspace, request: IdentifiedMerge) -> Artifact | None:
    """The newest frozen merge with the same request; a damaged one is made again."""
    record = request.record()
    for artifact in reversed(workspace.store.current(request.name)):
        manifest = artifact.manifest
        if manifest.kind == "merge" and manifest.spec.get("request") == record:
            return artifact if is_intact(artifact, workspace.cache) else None
    return None


def build_once(
    workspace: Workspace,
    request: IdentifiedMerge,
    freeze: Callable[[], Artifact],
    progress: Listener,
    *,
    wait: bool,
) -> Built:
    """The merge with this request, or what `freeze` makes while this process holds its lock.

    It is looked for again under the lock: another process may have built it in the meantime.

    Raises: LockedError, unless `wait`; what `freeze` raises.
    """
    found = find_merge(workspace, request)
    if found is not None:
        return Built(found, reused=True)
    topic = f"merge {request.name}"
    path = workspace.locks / f"merge-{digest_json(request.name)[:16]}.lock"
    with lock(path, topic, None if wait else 0.0, lambda line: progress(Progress(topic, line))):
        found = find_merge(workspace, request)
        if found is not None:
            return Built(found, reused=True)
        workspace.store.reclaim()
        artifact = freeze()
    progress(Progress(topic, f"frozen as {artifact.reference}", lasting=True))
    return Built(artifact, reused=False)
