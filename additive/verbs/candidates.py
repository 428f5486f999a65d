"""Prepare frozen specialists for a portfolio of merges: `additive.candidates`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from additive.merge.candidates import Prepared, prepare
from additive.merge.recipe import SourceSpec
from additive.types.digests import Digest, digest_json
from additive.verbs.merge import ensure_grams, gram_files
from additive.verbs.merge_request import request_merge, resolve_specialist
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


def candidates(workspace: Workspace, names: Sequence[str], *, grams: bool = False) -> Prepared:
    """The named specialists, opened and decomposed; decompositions are kept in the store's
    sidecars.

    `.apply(method, weights, scale)` gives the merged deltas by parameter, and
    `additive.merge.resident.switching(model, prepared)` puts them into a loaded base in place.
    Several snapshots of one domain may be prepared together; they are called what `names` calls
    them, and `.apply(…, of=["math#0.5", "code"])` merges some of the sources.

    grams  whether to prepare the Gram matrices that `regmean` needs; each specialist reads up to
           256 of its domain's prompts for them, once

    Raises: UsageError, UnknownName; what opening the sources refuses; with `grams` what a merge by
    `regmean` refuses.

    Example:
        with candidates(find_workspace(Path.cwd()), ["math", "code"]) as prepared:
            deltas = prepared.apply("tsv_m", {"code": 0.7}, scale=0.8)
    """
    files: Mapping[Digest, Path] = {}
    if grams:
        options = {"scale": 1.0, "method": "regmean"}
        request = request_merge(workspace, names, options, base_identity(workspace))
        ensure_grams(workspace, request)
        files = gram_files(workspace, request)
    specialists = [resolve_specialist(workspace, name) for name in names]
    counts = Counter(artifact.name for artifact, _ in specialists)
    sources = []
    for text, (artifact, snapshot) in zip(names, specialists, strict=True):
        name, digest = artifact.name, artifact.digest
        if counts[name] > 1:
            name, digest = text, digest_json([digest, snapshot or 1.0])
        directory = artifact.snapshot_path(snapshot)
        sources.append(SourceSpec(name, digest, directory, finite=True, grams=files.get(digest)))
    cache = decompositions(workspace, [(a.digest, snapshot) for a, snapshot in specialists])
    return prepare(workspace.base_directory(), sources, cache)


def decompositions(workspace: Workspace, sources: Iterable[tuple[Digest, float | None]]) -> Path:
    """The sidecar that keeps the decompositions of these specialists and snapshots.

    sources  digest and snapshot of each, in any order

    Raises: ResourceError when the disk is full or fails.
    """
    key = sorted([digest, snapshot or 1.0] for digest, snapshot in sources)
    return workspace.store.sidecar(digest_json(key))
