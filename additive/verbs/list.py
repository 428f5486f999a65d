"""What a workspace has: domains and merges with their versions, suites, and merge methods.

Each function gives one record per name, as `additive list --json` prints it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from additive.artifacts.base_check import base_check_of
from additive.artifacts.manifest import Artifact
from additive.errors import FormatError, RefusedError
from additive.merge.methods import METHODS
from additive.merge.methods.catalogue import about
from additive.types.digests import short
from additive.workspace.workspace import Workspace

Record = dict[str, Any]


def list_domains(workspace: Workspace) -> list[Record]:
    """Every domain of the workspace, and every specialist in the store that has no domain here."""
    frozen = _versions(workspace, "specialist")
    defined = workspace.domain_names()
    return [
        {
            "name": name,
            "defined": name in defined,
            "adapt": _adaptation(workspace, name) if name in defined else None,
            "versions": frozen.get(name, []),
        }
        for name in sorted({*defined, *frozen})
    ]


def _adaptation(workspace: Workspace, name: str) -> str:
    spec = workspace.domain(name)
    if spec.adopted:
        return "adopted"
    return f"lora r={spec.adapt.rank}" if spec.adapt.kind == "lora" else spec.adapt.kind


def list_merges(workspace: Workspace) -> list[Record]:
    """Every merge in the store, and every recipe with what was built from it."""
    recipes = workspace.recipe_names()
    frozen = _versions(workspace, "merge")
    return [
        {"name": name, "recipe": name in recipes, "versions": frozen.get(name, [])}
        for name in sorted({*recipes, *frozen})
    ]


def _versions(workspace: Workspace, kind: str) -> dict[str, list[Record]]:
    """The artifacts of a kind by name, oldest first.

    One whose manifest cannot be read is listed as damaged or outdated; its name tells its kind.
    """
    versions: dict[str, list[Record]] = {}
    for artifact in workspace.store.all():
        try:
            record = _version(artifact) if artifact.manifest.kind == kind else None
        except RefusedError as error:
            state = "outdated" if isinstance(error, FormatError) else "damaged"
            is_kind = ("+" in artifact.name) == (kind == "merge")
            record = {**_identity(artifact), "state": state} if is_kind else None
        if record is not None:
            versions.setdefault(artifact.name, []).append(record)
    return versions


def _version(artifact: Artifact) -> Record:
    manifest, check = artifact.manifest, base_check_of(artifact)
    outcome = str(manifest.saturation.get("outcome") or "frozen")
    return {
        **_identity(artifact),
        "state": f"base {check.state}" if check else outcome,
        "base": check.state if check else "by digest",
        "method": (manifest.spec.get("method") or {}).get("name"),
        "sources": [f"{parent.name}@{short(parent.digest)}" for parent in manifest.parents],
    }


def _identity(artifact: Artifact) -> Record:
    return {
        "reference": artifact.reference,
        "digest": artifact.digest,
        "path": str(artifact.path),
    }


def list_suites(workspace: Workspace) -> list[Record]:
    """Every suite with its domain, role, tasks and rule."""
    return [
        {
            "name": name,
            "domain": spec.domain,
            "role": spec.role,
            "tasks": [task.name for task in spec.tasks],
            "gate": spec.gate.resolved() if spec.gate else None,
            "sides": sorted(spec.sides or ()),
        }
        for name in workspace.suite_names()
        for spec in [workspace.suite(name)]
    ]


def list_methods() -> list[Record]:
    """Every merge method, the plug-ins' too: paper, what it needs and costs, where it is from."""
    return [
        {"name": name, "origin": METHODS.origin(name), **asdict(about(name))}
        for name in METHODS.names()
    ]
