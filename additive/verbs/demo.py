"""The demo: three domains of the bundled base trained, frozen, merged and checked.

A broken demo merges the same specialists by their factors, as PEFT's `add_weighted_adapter` does in
its "linear" mode: the product of the sums, with cross terms that no training produced. The average
hardly changes; the gate names the domain that lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import additive
from additive.errors import UsageError
from additive.types.progress import Listener, silent
from additive.verbs.built_merge import BuiltMerge, reuse_merge
from additive.verbs.check import check_merge
from additive.verbs.init import DEMO_DOMAINS, make_workspace
from additive.verbs.merge_request import request_merge
from additive.verbs.trained import TrainedDomain, reuse_trained
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import MARKER, Workspace

BROKEN = {"method": "peft_linear", "scale": 0.95, "name": "broken"}
"""Options of the broken merge."""


@dataclass(frozen=True)
class Demo:
    """The demo's specialists and merge, and the document of its check."""

    workspace: Workspace
    trained: tuple[TrainedDomain, ...]
    built: BuiltMerge
    document: dict[str, Any]

    @property
    def reused(self) -> bool:
        """Whether everything was there already."""
        return self.built.reused and all(trained.reused for trained in self.trained)

    def averages(self) -> dict[str, float]:
        """The mean score over the target suites of base, specialists and merge."""
        targets = [s for s in self.document["suites"] if s["role"] == "target"]
        return {
            model: sum(suite[model] for suite in targets) / len(targets)
            for model in ("base", "specialist", "merged")
        }


def run_demo(root: Path, progress: Listener = silent, *, broken: bool = False) -> Demo:
    """Create or continue the demo's workspace, train its domains, merge and check them.

    broken  whether to merge by factors, which the gate refuses

    Raises: UsageError when `root` is a directory without a workspace; what the verbs raise.
    """
    workspace = _workspace(root)
    # What has to be done imports torch; what was done before does not.
    trained = tuple(
        reuse_trained(workspace, name) or additive.train_domain(workspace, name, progress)
        for name in DEMO_DOMAINS
    )
    options = BROKEN if broken else {}
    request = request_merge(workspace, DEMO_DOMAINS, options, base_identity(workspace))
    built = reuse_merge(workspace, request) or additive.build_merge(workspace, request, progress)
    document = check_merge(workspace, built.artifact, progress)
    return Demo(workspace, trained, built, document)


def _workspace(root: Path) -> Workspace:
    if (root / MARKER).is_file():
        return Workspace(root)
    if root.exists() and any(root.iterdir()):
        raise UsageError(
            f"directory is not empty and has no {MARKER}",
            where=str(root),
            help="move it away, or run the demo elsewhere: additive -C DIR demo",
        )
    return make_workspace(root, "tiny", (), start=root.parent)
