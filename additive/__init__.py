"""Fine-tuned skills that add up: train a domain, freeze it, merge exactly, pass a gate.

    from additive import find_workspace, train_domain
    train_domain(find_workspace(Path.cwd()), "math")

Names are imported when they are used; `import additive` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from additive.errors import AdditiveError
    from additive.gate import tango
    from additive.verbs.candidates import candidates
    from additive.verbs.check import check_merge
    from additive.verbs.merge import build_merge
    from additive.verbs.merge_request import request_merge
    from additive.verbs.train import train_domain
    from additive.workspace import Workspace, find_workspace

__version__ = "0.1.0"

_HOMES = {
    "AdditiveError": "additive.errors",
    "Workspace": "additive.workspace",
    "build_merge": "additive.verbs.merge",
    "candidates": "additive.verbs.candidates",
    "check_merge": "additive.verbs.check",
    "find_workspace": "additive.workspace",
    "request_merge": "additive.verbs.merge_request",
    "tango": "additive.gate",
    "train_domain": "additive.verbs.train",
}

__all__ = [
    "AdditiveError",
    "Workspace",
    "build_merge",
    "candidates",
    "check_merge",
    "find_workspace",
    "request_merge",
    "tango",
    "train_domain",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'additive' has no attribute {name!r}")
    import_module("additive.workspace.environment").set_thread_policy()
    return getattr(import_module(_HOMES[name]), name)
