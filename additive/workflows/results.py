"""The items behind a verdict, as files that `additive gate` reads.

results/base/math-held-out.json
results/math/math-held-out.json
results/math+code+safety/math-held-out.json
"""

from __future__ import annotations

from pathlib import Path

from additive.artifacts.artifact import Artifact
from additive.artifacts.atomic import write_json
from additive.types.progress import Listener, silent
from additive.types.result_json import result_document
from additive.workflows.checking import BASE, contestants_of, results_of
from additive.workspace import Workspace


def write_results(
    workspace: Workspace, artifact: Artifact, directory: Path, listen: Listener = silent
) -> tuple[Path, ...]:
    """Write what each model of a merge's check scored: `additive.result/1`, a file per suite.

    A two-sided suite is a file per side (`safety-held-out/refuse.json`). Answers come from the
    cache; what is not in it is asked. Gives the files, none where there is nothing to check.

    Raises: as `check_merge`.
    """
    uses = workspace.suites([parent.name for parent in artifact.manifest.parents])
    if not any(use.role == "target" for use in uses):
        return ()
    written = []
    for contestant in contestants_of(workspace, artifact, uses):
        name = contestant.artifact.name if contestant.artifact else BASE
        for suite, result in results_of(workspace, contestant, listen).items():
            path = directory / name / f"{suite}.json"
            write_json(path, result_document(result))
            written.append(path)
    return tuple(written)
