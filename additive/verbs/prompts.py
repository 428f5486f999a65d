"""Which training rows a merge depends on: those that a method weighs its sources by."""

from __future__ import annotations

from collections.abc import Sequence

from additive.artifacts.manifest import Artifact
from additive.errors import UsageError
from additive.types.digests import digest_file
from additive.workspace import Workspace


def training_prompts(
    workspace: Workspace, specialists: Sequence[Artifact], methods: Sequence[str]
) -> dict[str, str]:
    """Digests of the specialists' training files, where one of the methods has `needs_grams`.

    Raises: UsageError for a specialist that has none in this workspace.
    """
    if not any(map(_needs_prompts, methods)):
        return {}
    found = {}
    for artifact in specialists:
        name = artifact.name
        files = workspace.data_files(name, "train") if name in workspace.domain_names() else ()
        if not files:
            raise UsageError(
                f"{artifact.reference} has no training rows here when this method weighs sources by"
                " their own prompts",
                help=f"give the domain {name} its train.jsonl, or take a method without data",
            )
        found |= {f"{name}/{path.name}": digest_file(path) for path in files}
    return dict(sorted(found.items()))


def _needs_prompts(method: str) -> bool:
    """Whether a method has `needs_grams`; known of the built-ins without importing torch."""
    from additive.merge.methods import METHODS
    from additive.merge.methods.catalogue import about

    if method in METHODS.builtins:
        return "prompts" in about(method).needs
    return method in METHODS and METHODS.get(method).needs_grams
