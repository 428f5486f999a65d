"""`additive verify`: artifacts against their manifests, offline, by anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import clean
from additive.errors import IntegrityError

if TYPE_CHECKING:
    from additive.verbs.verify import VerifiedArtifact

SCHEMA = "additive.verify/1"


@click.command()
@click.argument("names", nargs=-1, metavar="[DIR|NAME]...")
@click.pass_obj
def command(invocation: Invocation, names: tuple[str, ...]) -> int:
    """Compare every byte of artifacts with their manifests, offline.

    DIR is an artifact, which needs no workspace, or a workspace, which stands for its whole store.
    Without arguments the whole store is verified. Exit code 3 when a byte differs, or a file is
    missing or extra.

    \b
    Examples:
      additive verify
      additive verify math+code+safety
      additive verify ../release
    """
    artifacts = additive.verify_artifacts(names, invocation.directory)
    damaged = any(artifact.problems for artifact in artifacts)
    records = [
        {
            "path": str(artifact.directory),
            "problems": [asdict(problem) for problem in artifact.problems],
        }
        for artifact in artifacts
    ]
    document = {"schema": SCHEMA, "ok": not damaged, "artifacts": records}
    invocation.output.result(document, "\n".join(_lines(artifacts)) or "nothing is frozen yet")
    return IntegrityError.exit_code if damaged else 0


def _lines(artifacts: Sequence[VerifiedArtifact]) -> Iterator[str]:
    for artifact in artifacts:
        if not artifact.problems:
            yield clean(f"ok    {artifact.directory}")
        for problem in artifact.problems:
            yield clean(f"fail  {artifact.directory}/{problem.file}: {problem.message}")
