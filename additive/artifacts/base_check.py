"""How sure it is that an adopted specialist belongs to the base: claimed, or checked.

An adapter carries no digest of its base. Until it has beaten the base on held-out questions its
base is a claim. The check is learned after freezing, so it lies in the sidecar, beside the store's
artifacts, and not in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from additive.artifacts.atomic import write_json
from additive.artifacts.manifest import Artifact, Manifest
from additive.errors import IntegrityError
from additive.tensors.json import read_object

SCHEMA = "additive.functional/1"


FILE = "functional.json"


BY_DIGEST = "by digest"


@dataclass(frozen=True)
class BaseCheck:
    """`state` of the base, and why, as a part of a sentence."""

    state: Literal["claimed", "checked", "by digest"]
    why: str

    def __str__(self) -> str:
        return f"base {self.state}: {self.why}"


def is_adopted(manifest: Manifest) -> bool:
    """Whether a specialist was trained elsewhere."""
    return "adopted" in manifest.spec


def base_check_of(artifact: Artifact) -> BaseCheck | None:
    """What is known of an adopted specialist's base; None for what was trained here.

    Raises: IntegrityError when the manifest is damaged.
    """
    adopted = artifact.manifest.spec.get("adopted")
    if not isinstance(adopted, Mapping):
        return None
    if adopted.get("base") == BY_DIGEST:
        return BaseCheck("by digest", "it was frozen on this base")
    found = functional_check(artifact)
    if found is None:
        return BaseCheck("claimed", "no functional check yet, which needs held-out questions")
    passed = found["verdict"] == "pass"
    return BaseCheck("checked" if passed else "claimed", _said(found))


def functional_check(artifact: Artifact) -> Mapping[str, Any] | None:
    """The last functional check of a stored artifact; None when there is none to be trusted."""
    path = _path(artifact)
    if not path.is_file():
        return None
    try:
        found = read_object(path)
    except IntegrityError:
        return None
    whole = found.get("schema") == SCHEMA and found.get("specialist") == artifact.digest
    return found if whole else None


def keep_functional_check(artifact: Artifact, check: Mapping[str, Any]) -> None:
    """Write down a functional check. Raises: ResourceError."""
    write_json(_path(artifact), {"schema": SCHEMA, "specialist": artifact.digest, **check})


def _path(artifact: Artifact) -> Path:
    # store/artifacts/<name>/<digest> -> store/sidecars/<digest>
    return artifact.path.parent.parent.parent / "sidecars" / artifact.digest / FILE


def _said(check: Mapping[str, Any]) -> str:
    low, high = check["interval"]
    scores = (
        f"{check['score']:.3f} against the base's {check['base_score']:.3f}"
        f" on {check['n']} questions ({check['difference']:+.3f} [{low:+.3f}, {high:+.3f}])"
    )
    lead = {"pass": "it beats the base", "fail": "it does worse than the base"}
    return f"{lead.get(check['verdict'], 'the check cannot tell')}, {scores}"
