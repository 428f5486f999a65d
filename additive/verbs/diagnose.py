"""Measure interference between frozen specialists before they are merged, as one document.

    diagnose_sources(workspace, ["math", "code", "sql"])["findings"]

The document is kept by the digests of base and sources, so that a report of their merge shows it.
Factors are decomposed once: the decompositions lie in the sidecar that `additive.candidates` uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

from additive.artifacts.atomic import write_json
from additive.errors import ResourceError
from additive.merge.diagnose import Diagnosis, diagnose
from additive.merge.measures import Measures
from additive.merge.plan import open_checked, plan_sources
from additive.types.digests import short
from additive.verbs.candidates import decompositions
from additive.verbs.merge import build_recipe
from additive.verbs.merge_request import MergeRequest, request_merge
from additive.verbs.report import DIAGNOSIS_SCHEMA, diagnosis_path
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


def diagnose_sources(workspace: Workspace, names: Sequence[str]) -> dict[str, Any]:
    """Measure specialists (or snapshots, `math#0.5`) against each other; no output is built.

    Raises: UnknownName, UsageError; CompatibilityError, IntegrityError, SecurityError for the
    sources, as a merge of them would.
    """
    options = {"scale": 1.0, "method": "task_arithmetic"}
    request = request_merge(workspace, names, options, base_identity(workspace))
    recipe = build_recipe(workspace, request)
    parts = [(source.artifact.digest, source.snapshot) for source in request.sources]
    try:
        cache = decompositions(workspace, parts)
    except ResourceError:  # the disk takes nothing; a diagnosis only prints
        cache = None
    with closing(open_checked(recipe, workspace.base_directory(), request.base)) as sources:
        plan_sources(recipe, sources, request.base)  # refuses what a merge would, but for the disk
        diagnosis = diagnose(sources, cache=cache)
    document = _document(request, diagnosis)
    with suppress(ResourceError):  # a report of their merge does without it
        write_json(diagnosis_path(workspace, request.base.digest, parts), document)
    return document


def _document(request: MergeRequest, diagnosis: Diagnosis) -> dict[str, Any]:
    by_name = {source.artifact.name: source for source in request.sources}
    sources = [
        {
            "name": name,
            "digest": by_name[name].artifact.digest,
            "snapshot": by_name[name].snapshot,
            "norm": norm,
        }
        for name, norm in zip(diagnosis.sources, diagnosis.whole.norms, strict=True)
    ]
    return {
        "schema": DIAGNOSIS_SCHEMA,
        "base": f"{request.base.id}@{short(request.base.digest)}",
        "sources": sources,
        **_measured(diagnosis.sources, diagnosis.whole),
        "layers": [
            {"layer": k, **_measured(diagnosis.sources, m)} for k, m in diagnosis.layers.items()
        ],
        "parameters": [
            {"name": k, **_measured(diagnosis.sources, m)} for k, m in diagnosis.parameters.items()
        ],
        "findings": [
            {"kind": f.kind, "sentence": f.sentence, "help": f.help} for f in diagnosis.findings
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
