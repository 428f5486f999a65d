"""`additive verify`: every byte of artifacts against their manifests, offline, by anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from additive.artifacts.verify import verify_directory
from additive.cli.find import MAX_PATH, artifact_directory
from additive.cli.output import clean
from additive.cli.session import Session
from additive.errors import IntegrityError
from additive.workspace import MARKER, Workspace

SCHEMA = "additive.verify/1"


@click.command()
@click.argument("names", nargs=-1, metavar="[DIR|NAME]...")
@click.pass_obj
def command(session: Session, names: tuple[str, ...]) -> int:
    """Check each file of an artifact against its manifest; without arguments all of the store.

    Needs no workspace for a directory; a workspace's directory stands for all of its store. Exit
    code 3 when a byte differs, a file is missing or extra.
    """
    directories = [found for name in names for found in _directories(session, name)]
    if not names:
        directories = _stored(session.workspace)
    records = [_record(directory) for directory in directories]
    bad = [record for record in records if record["problems"]]
    document = {"schema": SCHEMA, "ok": not bad, "artifacts": records}
    session.output.result(document, "\n".join(_lines(records)) or "nothing is frozen yet")
    return IntegrityError.exit_code if bad else 0


def _directories(session: Session, name: str) -> list[Path]:
    """As `artifact_directory`, but a directory whose manifest is missing is to be judged, too."""
    path = session.directory / name
    if len(name) > MAX_PATH or not path.is_dir():
        return [artifact_directory(session, name)]
    return _stored(Workspace(path)) if (path / MARKER).is_file() else [path.resolve()]


def _stored(workspace: Workspace) -> list[Path]:
    return [artifact.path for artifact in workspace.store.all()]


def _record(directory: Path) -> dict[str, Any]:
    problems = verify_directory(directory)
    return {
        "path": str(directory),
        "problems": [{"file": found.file, "message": found.message} for found in problems],
    }


def _lines(records: list[dict[str, Any]]) -> list[str]:
    lines = []
    for record in records:
        if not record["problems"]:
            lines.append(clean(f"ok    {record['path']}"))
        for found in record["problems"]:
            lines.append(clean(f"fail  {record['path']}/{found['file']}: {found['message']}"))
    return lines
