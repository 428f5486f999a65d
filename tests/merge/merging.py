"""Merge two prepared adapters into a prepared base and freeze the result: to be killed and starved.

python -m tests.merge.merging STORE PREPARED
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from additive.artifacts.manifest import Artifact, ManifestDraft
from additive.artifacts.store import Store
from additive.errors import AdditiveError
from additive.merge.engine import execute
from additive.merge.plan import plan
from tests.artifacts.faults import at_call
from tests.merge import files
from tests.merge.making import recipe, source

NAME = "math"  # what check_clean looks for
DIED = 9


def prepare(directory: Path) -> Path:
    """A base in two shards and two adapters."""
    files.write_base(directory / "base", shards=2)
    for number in (1, 2):
        files.write_lora(directory / f"s{number}", number)
    return directory


def merge_prepared(root: Path, prepared: Path, workers: int = 1) -> Artifact:
    """What `additive merge` does to the disk."""
    store = Store(root)
    store.reclaim()
    made = recipe(source(prepared / "s1"), source(prepared / "s2"), method="ties")
    with store.staging("merge", NAME) as staged:
        # All is forced to disk as it comes, which a large merge does in larger portions.
        execute(plan(made, prepared / "base"), staged, workers=workers, sync_bytes=1)
        return store.freeze(staged, ManifestDraft(kind="merge", name=NAME, spec=made.resolved()))


def merge_until(number: int, root: Path, prepared: Path) -> None:
    """Merge, and die just before the n-th call that changes the disk."""
    with at_call(number, lambda: os._exit(DIED)):
        merge_prepared(root, prepared)


if __name__ == "__main__":
    try:
        print(merge_prepared(Path(sys.argv[1]), Path(sys.argv[2])).digest)
    except AdditiveError as error:
        print(f"error: {error}\nhelp: {error.help}", file=sys.stderr)
        sys.exit(error.exit_code)
