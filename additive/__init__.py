"""Fine-tuned skills that add up: train a domain, freeze it, merge exactly, pass a gate.

    from additive import find_workspace, train_domain
    train_domain(find_workspace(Path.cwd()), "math")

These are the functions that the command line calls; docs/python.md lists them. Each is imported
when it is first used: `import additive` costs nothing, and only what needs torch loads it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from additive.errors import AdditiveError
    from additive.gate import tango
    from additive.verbs.adopt import adopt_specialist
    from additive.verbs.ask import ask_models
    from additive.verbs.built_merge import resolve_merge, reuse_merge
    from additive.verbs.candidates import candidates
    from additive.verbs.check import check_merge, plan_check
    from additive.verbs.demo import run_demo
    from additive.verbs.diagnose import diagnose_sources
    from additive.verbs.doctor import examine_machine
    from additive.verbs.export import export_mergekit
    from additive.verbs.gate import gate_files
    from additive.verbs.init import make_workspace
    from additive.verbs.lint import lint_workspace
    from additive.verbs.list import list_domains, list_merges, list_methods, list_suites
    from additive.verbs.merge import build_merge, plan_merge
    from additive.verbs.merge_request import request_merge
    from additive.verbs.report import evidence_of, report_merge
    from additive.verbs.results import write_results
    from additive.verbs.show import find_artifact
    from additive.verbs.train import plan_training, train_domain
    from additive.verbs.trained import reuse_trained
    from additive.verbs.verify import verify_artifacts
    from additive.workspace.workspace import Workspace, find_workspace

__version__ = "0.1.0"

_HOMES = {
    "AdditiveError": "additive.errors",
    "Workspace": "additive.workspace.workspace",
    "adopt_specialist": "additive.verbs.adopt",
    "ask_models": "additive.verbs.ask",
    "build_merge": "additive.verbs.merge",
    "candidates": "additive.verbs.candidates",
    "check_merge": "additive.verbs.check",
    "diagnose_sources": "additive.verbs.diagnose",
    "evidence_of": "additive.verbs.report",
    "examine_machine": "additive.verbs.doctor",
    "export_mergekit": "additive.verbs.export",
    "find_artifact": "additive.verbs.show",
    "find_workspace": "additive.workspace.workspace",
    "gate_files": "additive.verbs.gate",
    "lint_workspace": "additive.verbs.lint",
    "list_domains": "additive.verbs.list",
    "list_merges": "additive.verbs.list",
    "list_methods": "additive.verbs.list",
    "list_suites": "additive.verbs.list",
    "make_workspace": "additive.verbs.init",
    "plan_check": "additive.verbs.check",
    "plan_merge": "additive.verbs.merge",
    "plan_training": "additive.verbs.train",
    "report_merge": "additive.verbs.report",
    "request_merge": "additive.verbs.merge_request",
    "resolve_merge": "additive.verbs.built_merge",
    "reuse_merge": "additive.verbs.built_merge",
    "reuse_trained": "additive.verbs.trained",
    "run_demo": "additive.verbs.demo",
    "tango": "additive.gate",
    "train_domain": "additive.verbs.train",
    "verify_artifacts": "additive.verbs.verify",
    "write_results": "additive.verbs.results",
}

__all__ = [
    "AdditiveError",
    "Workspace",
    "adopt_specialist",
    "ask_models",
    "build_merge",
    "candidates",
    "check_merge",
    "diagnose_sources",
    "evidence_of",
    "examine_machine",
    "export_mergekit",
    "find_artifact",
    "find_workspace",
    "gate_files",
    "lint_workspace",
    "list_domains",
    "list_merges",
    "list_methods",
    "list_suites",
    "make_workspace",
    "plan_check",
    "plan_merge",
    "plan_training",
    "report_merge",
    "request_merge",
    "resolve_merge",
    "reuse_merge",
    "reuse_trained",
    "run_demo",
    "tango",
    "train_domain",
    "verify_artifacts",
    "write_results",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'additive' has no attribute {name!r}")
    import_module("additive.workspace.environment").set_thread_policy()
    return getattr(import_module(_HOMES[name]), name)
