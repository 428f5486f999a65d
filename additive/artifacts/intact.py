"""Whether a frozen directory still has the bytes that were frozen, asked before they are used.

Hashed once: the answer is kept under the identity of every file (device, inode, size, mtime and
ctime), as in git's index, so that the next use costs a `stat` per file. Damage that leaves all of
these as they were, a disk's own, is what `additive verify` is for: it reads every byte every time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from additive.artifacts.atomic import write_json
from additive.artifacts.manifest import Artifact
from additive.artifacts.verify import Problem, verify_directory, walk
from additive.errors import IntegrityError, ResourceError
from additive.types.digests import digest_json

_RACY_NS = 2_000_000_000


def is_intact(artifact: Artifact, cache: Path) -> bool:
    """Whether every byte is the one that was frozen."""
    return not _problems(artifact, cache)


def require_unchanged(artifact: Artifact, cache: Path) -> None:
    """Refuse an artifact whose bytes are no longer those that its digest names.

    Raises: IntegrityError with every file, and the command that makes the artifact again.

    Example: `require_unchanged(workspace.store.resolve(reference), workspace.cache)`
    """
    problems = _problems(artifact, cache)
    if problems:
        raise IntegrityError(
            "; ".join(str(problem) for problem in problems),
            where=f"{artifact.reference} at {artifact.path}",
            help=f"{_again(artifact)} makes it again; or restore it from a copy",
        )


def _again(artifact: Artifact) -> str:
    if artifact.manifest.kind != "specialist":
        return "the same `additive merge`"
    adopted = "adopted" in artifact.manifest.times
    return (
        f"additive adopt DIR --as {artifact.name}" if adopted else f"additive train {artifact.name}"
    )


def _problems(artifact: Artifact, cache: Path) -> tuple[Problem, ...]:
    stamps = [
        [name, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns]
        for name, s in walk(artifact.path)
    ]
    entry = cache / "intact" / f"{digest_json([artifact.digest, stamps])}.json"
    if entry.is_file():
        return ()
    problems = verify_directory(artifact.path)
    newest = max((max(stamp[-2:]) for stamp in stamps), default=0)
    if not problems and time.time_ns() - newest >= _RACY_NS:
        with suppress(ResourceError):  # it costs the next use a hash, and nothing else
            write_json(entry, {"artifact": artifact.reference})
    return problems
