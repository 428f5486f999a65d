"""The whole story on the bundled base: trained, frozen, merged, checked; or stopped by the gate.

`--break` merges the same specialists by their factors, as PEFT's `add_weighted_adapter` does in its
"linear" mode: the product of the sums, with cross terms that nobody trained. The average hardly
moves; the gate names the domain that pays for it.
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
from additive.verbs.init import make_workspace
from additive.verbs.merge_request import request_merge
from additive.verbs.train import Trained, train_domain
from additive.workspace import MARKER, Workspace
from additive.workspace.inputs import base_identity

DIRECTORY = "additive-demo"


DOMAINS = ("math", "code", "safety")


BROKEN_NAME = "broken"


BROKEN = {"method": "peft_linear", "scale": 0.95, "name": BROKEN_NAME}


@dataclass(frozen=True)
class Demo:
    """What the demo did: specialists, merge, its check, and the mean of each model's targets."""

    workspace: Workspace
    trained: tuple[Trained, ...]
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
    """Make (or continue) the demo's workspace and do the main job in it.

    Raises: UsageError when the directory is there and is no workspace; whatever the verbs raise.
    """
    workspace = _workspace(root)
    trained = tuple(train_domain(workspace, name, progress) for name in DOMAINS)
    options = BROKEN if broken else {}
    request = request_merge(workspace, DOMAINS, options, base_identity(workspace))
    # The merge verb imports torch, which a merge that was built before needs not.
    built = reuse_merge(workspace, request) or additive.build_merge(workspace, request, progress)
    document = check_merge(workspace, built.artifact, progress)
    return Demo(workspace, trained, built, document)


def _workspace(root: Path) -> Workspace:
    if (root / MARKER).is_file():
        return Workspace(root)
    if root.exists() and any(root.iterdir()):
        raise UsageError(
            f"{root.name} is a directory without {MARKER}; expected new",
            where=str(root),
            help="move it away, or run the demo elsewhere: additive -C DIR demo",
        )
    return make_workspace(root, "tiny", (), start=root.parent)
