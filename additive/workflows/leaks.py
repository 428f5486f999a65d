"""A domain's rows against every held-out item of the workspace, whoever's it is."""

from __future__ import annotations

from additive.overlap.check import DataFile, FileLeak, leaks_between
from additive.workspace import Workspace


def leaks_of(workspace: Workspace, name: str) -> tuple[FileLeak, ...]:
    """Held-out items that stand in a domain's training or validation rows; cached by digest pair.

    Raises: SpecError for files that are no JSON lines.
    """
    rows = [
        DataFile.of(path, workspace.shown(path))
        for split in ("train", "validation")
        for path in workspace.data_files(name, split)
    ]
    items = [
        DataFile.of(path, workspace.shown(path))
        for suite in workspace.suite_names()
        for path in workspace.item_files(suite)
        # A suite that is not written yet holds nothing that could leak; lint and check ask for it.
        if path.is_file() and path.stat().st_size
    ]
    return leaks_between(rows, items, workspace.cache)
