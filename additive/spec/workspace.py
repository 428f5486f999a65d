"""`additive.yaml`: the base, defaults and policy of a workspace; it marks the workspace's root."""

from __future__ import annotations

from pydantic import Field

from additive.spec.fields import Spec, Text, Version
from additive.spec.recipe import MergeSpec
from additive.spec.suite import GateSpec


class BaseSpec(Spec):
    """The one base that every delta of the workspace is trained on and added to."""

    model: Text
    """`tiny` (the bundled base), a directory, or a Hub id such as `org/name`."""
    revision: Text | None = None
    """Hub revision; when not given, the newest is taken once and pinned in additive.lock."""
    recall: Text | None = None
    """JSON-lines file of the base's own skills, relative to the workspace; the base's recall.jsonl
    if it has one."""


class WorkspaceSpec(Spec):
    """The base of a workspace, defaults of its merges, and the policy of its gate."""

    version: Version
    """Version of this file's format."""
    base: BaseSpec
    """The base model."""
    merge: MergeSpec = MergeSpec()
    """Defaults of `additive merge`."""
    gate: GateSpec = Field(default_factory=lambda: GateSpec.model_validate({}))
    """Rule of suites that have none."""
