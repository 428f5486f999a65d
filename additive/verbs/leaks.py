"""Held-out items in the rows that a domain is trained on: what `train` and `check` refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from additive.errors import LeakError
from additive.overlap.check import DataFile, FileLeak, leaks_between
from additive.workspace.workspace import Workspace

SPLITS: tuple[Literal["train", "validation"], ...] = ("train", "validation")


def refuse_leaks(workspace: Workspace, name: str) -> None:
    """Compare a domain's rows with every held-out item of every suite, whoever's they are.

    Raises: LeakError naming row, suite and item.
    """
    found = leaks_of(workspace, name) if name in workspace.domain_names() else ()
    if found:
        first, *others = found
        more = f" (and {len(others)} more)" if others else ""
        raise LeakError(f"{first}{more}", help="additive lint lists them all; remove these rows")


def leaks_of(workspace: Workspace, name: str) -> tuple[FileLeak, ...]:
    """Held-out items in a domain's training or validation rows, or in the recall rows that are
    mixed in; cached by digest pair.

    Raises: SpecError for files that are no JSON lines.
    """
    paths = [
        path for split in SPLITS for path in workspace.data_files(name, split) if path.is_file()
    ]
    recall = recall_rows_file(workspace, name)
    rows = [
        DataFile.of(path, workspace.shown(path)) for path in (*paths, *([recall] if recall else []))
    ]
    items = [
        DataFile.of(path, workspace.shown(path))
        for suite in workspace.suite_names()
        for path in workspace.item_files(suite)
        # A suite without items yet holds nothing that could leak; lint and check ask for it.
        if path.is_file() and path.stat().st_size
    ]
    return leaks_between(rows, items, workspace.cache)


def recall_rows_file(workspace: Workspace, name: str) -> Path | None:
    """The file of recall rows that a domain's training mixes in; None where it mixes none."""
    spec = workspace.domain(name)
    if spec.adopted or spec.recall.share == 0:
        return None
    return workspace.recall_file()
