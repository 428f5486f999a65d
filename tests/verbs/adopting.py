"""Short ways to adopt in tests."""

from __future__ import annotations

import json
from pathlib import Path

from additive.verbs.adopt import Adopted, adopt_specialist
from additive.workspace.bases import find_folder
from additive.workspace.workspace import Workspace


def adopt_into(workspace: Workspace, folder: Path, name: str = "math", **options) -> Adopted:
    """`additive adopt FOLDER --as NAME --no-check`."""
    source = find_folder(str(folder), workspace.root)
    return adopt_specialist(Workspace(workspace.root), source, name, checked=False, **options)


def write_questions(path: Path, rows) -> Path:
    """A file of held-out questions."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
