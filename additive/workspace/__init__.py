"""A workspace on disk: where it is, what it holds, and where each name leads.

The only place that reads environment variables. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from additive.workspace.environment import Environment
from additive.workspace.workspace import (
    LOCKFILE,
    MARKER,
    SuiteUse,
    Workspace,
    demo_source,
    find_workspace,
)

__all__ = [
    "LOCKFILE",
    "MARKER",
    "Environment",
    "SuiteUse",
    "Workspace",
    "demo_source",
    "find_workspace",
]
