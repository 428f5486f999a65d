"""`additive.candidates`: frozen specialists of a workspace, prepared for a portfolio of merges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from additive.types.digests import Digest, digest_json
from additive.types.progress import silent
from additive.verbs.gram_matrices import ensure_grams, gram_files
from additive.verbs.requests import request_merge, resolve_specialist
from additive.workspace import Workspace
from additive.workspace.inputs import base_identity

if TYPE_CHECKING:
    from additive.merge.candidates import Prepared


def candidates(workspace: Workspace, names: Sequence[str], *, grams: bool = False) -> Prepared:
    """The named specialists, opened and decomposed; what is found is kept in the store's sidecars.

    `.apply(method, weights, scale)` gives the merged deltas by parameter, and
    `additive.merge.resident.switching(model, prepared)` puts them into a loaded base in place.
    Several snapshots of one domain may be prepared together; they go by what they were called, and
    `.apply(…, of=["math#0.5", "code"])` merges some of them.

    grams  also what each domain's own prompts look like to the adapted modules, for `regmean`; each
           specialist reads up to 256 of them unless it is known from before

    Raises: UsageError, UnknownName; what opening the sources refuses; with `grams` what a merge by
    `regmean` refuses.

    Example:
        with candidates(find_workspace(Path.cwd()), ["math", "code"]) as prepared:
            deltas = prepared.apply("tsv_m", {"code": 0.7}, scale=0.8)
    """
    from additive.merge.candidates import prepare
    from additive.merge.recipe import SourceSpec

    seen = _grams(workspace, names) if grams else {}
    found = [resolve_specialist(workspace, name) for name in names]
    counts = Counter(artifact.name for artifact, _ in found)
    sources = []
    for text, (artifact, snapshot) in zip(names, found, strict=True):
        name, digest = artifact.name, artifact.digest
        if counts[name] > 1:
            name, digest = text, digest_json([digest, snapshot or 1.0])
        place = artifact.snapshot_path(snapshot)
        sources.append(SourceSpec(name, digest, place, finite=True, grams=seen.get(digest)))
    cache = decompositions(workspace, [(a.digest, snapshot) for a, snapshot in found])
    return prepare(workspace.base_directory(), sources, cache)


def _grams(workspace: Workspace, names: Sequence[str]) -> dict[Digest, Path]:
    """The files of Grams by specialist, made where they are not there."""
    options = {"scale": 1.0, "method": "regmean"}
    request = request_merge(workspace, names, options, base_identity(workspace))
    ensure_grams(workspace, request, silent)
    return gram_files(workspace, request)


def decompositions(workspace: Workspace, sources: Iterable[tuple[Digest, float | None]]) -> Path:
    """The sidecar that keeps what `prepare` finds of these specialists and snapshots, in any order.

    Raises: ResourceError when the disk is full or fails.
    """
    named = sorted([digest, snapshot or 1.0] for digest, snapshot in sources)
    return workspace.store.sidecar(digest_json(named))
