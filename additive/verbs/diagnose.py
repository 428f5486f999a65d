"""Interference of frozen specialists before they are merged, as one document.

    diagnose_sources(workspace, ["math", "code", "sql"])["findings"]

Kept by the digests of base and sources, so that a report of their merge can show it. Factors are
decomposed once: `additive.candidates` leaves them in the sidecar that is used here, and finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.atomic import write_json
from additive.artifacts.manifest import Manifest
from additive.errors import RefusedError, ResourceError
from additive.tensors.json import read_object
from additive.types.digests import Digest, digest_json, short
from additive.verbs.candidates import decompositions
from additive.verbs.requests import MergeRequest, request_merge
from additive.workspace import Workspace
from additive.workspace.inputs import base_identity

if TYPE_CHECKING:
    from additive.merge.diagnose import Diagnosis
    from additive.merge.measures import Measures


SCHEMA = "additive.diagnose/1"


_BYTES = 64 << 20


def diagnose_sources(workspace: Workspace, names: Sequence[str]) -> dict[str, Any]:
    """Measure specialists (or snapshots, `math#0.5`) against each other; no output is built.

    Raises: UnknownName, UsageError; CompatibilityError, IntegrityError, SecurityError for the
    sources, as a merge of them would.
    """
    from additive.deltas.base import open_base
    from additive.merge.diagnose import diagnose
    from additive.merge.plan import plan
    from additive.merge.sources import open_sources
    from additive.verbs.composing import build_recipe

    options = {"scale": 1.0, "method": "task_arithmetic"}
    request = request_merge(workspace, names, options, base_identity(workspace))
    recipe = build_recipe(workspace, request, 1.0)
    plan(recipe, workspace.base_directory(), request.base)  # what a merge would refuse, but no disk
    opened = open_sources(recipe, open_base(workspace.base_directory()))
    try:
        found = diagnose(opened, cache=_cache(workspace, request))
    finally:
        opened.close()
    document = _document(request, found)
    with suppress(ResourceError):  # a report of their merge does without it
        write_json(_place(workspace, request.base.digest, _parts(request)), document)
    return document


def known_diagnosis(workspace: Workspace, merge: Manifest) -> Mapping[str, Any] | None:
    """The diagnosis of a merge's sources, if there was one; snapshots count apart."""
    if merge.base is None:
        return None
    parts = [[s["digest"], s["snapshot"]] for s in merge.spec.get("request", {}).get("sources", ())]
    path = _place(workspace, merge.base.digest, sorted(parts))
    if not path.is_file():
        return None
    try:
        found = read_object(path, _BYTES)
    except RefusedError:
        return None
    return found if found.get("schema") == SCHEMA else None


def _cache(workspace: Workspace, request: MergeRequest) -> Path | None:
    """Where the decompositions are kept; None on a disk that takes nothing."""
    sources = [(source.artifact.digest, source.snapshot) for source in request.sources]
    try:
        return decompositions(workspace, sources)
    except ResourceError:
        return None


def _parts(request: MergeRequest) -> list[list[Any]]:
    return sorted([source.artifact.digest, source.snapshot] for source in request.sources)


def _place(workspace: Workspace, base: Digest, parts: Sequence[Any]) -> Path:
    return workspace.cache / "diagnoses" / f"{digest_json([SCHEMA, base, parts])}.json"


def _document(request: MergeRequest, found: Diagnosis) -> dict[str, Any]:
    by_name = {source.artifact.name: source for source in request.sources}
    sources = [
        {
            "name": name,
            "digest": by_name[name].artifact.digest,
            "snapshot": by_name[name].snapshot,
            "norm": norm,
        }
        for name, norm in zip(found.sources, found.whole.norms, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "base": f"{request.base.id}@{short(request.base.digest)}",
        "sources": sources,
        **_measured(found.sources, found.whole),
        "layers": [{"layer": k, **_measured(found.sources, m)} for k, m in found.layers.items()],
        "parameters": [
            {"name": k, **_measured(found.sources, m)} for k, m in found.parameters.items()
        ],
        "findings": [
            {"kind": f.kind, "sentence": f.sentence, "help": f.help} for f in found.findings
        ],
    }


def _measured(sources: Sequence[str], measures: Measures) -> dict[str, Any]:
    return {
        "norms": dict(zip(sources, measures.norms, strict=True)),
        "pairs": [
            {
                "first": sources[pair.first],
                "second": sources[pair.second],
                "cosine": pair.cosine,
                "left": pair.left,
                "right": pair.right,
                "conflicts": pair.conflicts,
                "interference": pair.interference,
                "unrelated": pair.unrelated,
            }
            for pair in measures.pairs
        ],
        "interference": measures.interference,
        "over_accumulation": measures.over_accumulation,
    }
