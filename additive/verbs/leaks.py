"""Held-out items in the rows that a domain is trained on: what `train` and `check` refuse."""

from __future__ import annotations

from pathlib import Path

from additive.errors import LeakError
from additive.overlap.check import DataFile, FileLeak, leaks_between
from additive.workspace.inputs import item_files, row_files
from additive.workspace.workspace import Workspace


def refuse_leaks(workspace: Workspace, name: str) -> None:
    """Compare a domain's rows with every held-out item of every suite of the workspace.

    Raises: LeakError naming row, suite and item.
    """
    leaks = leaks_of(workspace, name) if name in workspace.domain_names() else ()
    if leaks:
        first, *others = leaks
        more = f" (and {len(others)} more)" if others else ""
        raise LeakError(f"{first}{more}", help="additive lint lists them all; remove these rows")


def leaks_of(workspace: Workspace, name: str) -> tuple[FileLeak, ...]:
    """Held-out items in a domain's training or validation rows, or in the recall rows that are
    mixed in; cached by digest pair.

    Raises: SpecError for files that are not JSON lines.
    """
    rows = row_files(workspace, name)
    recall = recall_rows_file(workspace, name)
    if recall is not None:
        rows = (*rows, DataFile.of(recall, workspace.display_path(recall)))
    # An empty suite, as `additive init` writes it, holds nothing that could leak.
    items = [
        file
        for suite in workspace.suite_names()
        for file in item_files(workspace, suite)
        if file.path.stat().st_size
    ]
    return leaks_between(rows, items, workspace.cache)


def recall_rows_file(workspace: Workspace, name: str) -> Path | None:
    """The file of recall rows that a domain's training mixes in; None where it mixes none."""
    spec = workspace.domain(name)
    if spec.adopted or spec.recall.share == 0:
        return None
    return workspace.recall_file()
