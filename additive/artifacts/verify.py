"""Checking an artifact offline: every byte, every file, and that the name fits the content.

Needs the standard library and this package's readers, no torch; anyone can run it on a copy,
without the workspace.

What may lie in an artifact: plain files of known kinds, nothing that runs on loading.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from additive.artifacts.content import directory_digests
from additive.artifacts.seal import MANIFEST, read_fields
from additive.errors import IntegrityError, RefusedError, SecurityError, UsageError
from additive.tensors.json import read_object
from additive.types.digests import digest_file, is_digest

PICKLES = frozenset(
    {
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".pickle",
        ".joblib",
        ".npy",
        ".npz",
        ".h5",
        ".msgpack",
    }
)


ALLOWED = frozenset(
    {".safetensors", ".json", ".jsonl", ".jinja", ".txt", ".model", ".md", ".tiktoken"}
)


_WITHOUT_SUFFIX = frozenset({"LICENSE", "LICENCE", "NOTICE", "USE_POLICY"})


_PART = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+\-]{0,200}")


_MAGIC = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))


def walk(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below a directory as (relative POSIX path, status), sorted, links not followed."""
    for entry in sorted(os.scandir(directory), key=lambda e: e.name):
        status = entry.stat(follow_symlinks=False)
        yield entry.name, status
        if stat.S_ISDIR(status.st_mode):
            for name, below in walk(Path(entry.path)):
                yield f"{entry.name}/{name}", below


def list_files(directory: Path) -> tuple[str, ...]:
    """The files of a directory that is about to be frozen, without the manifest.

    Raises: SecurityError for a link, a device, a pickle by name or by content, code, or a name that
    is not plain.
    """
    files = []
    for name, status in walk(directory):
        if not _PART.fullmatch(name.rsplit("/", 1)[-1]):
            raise SecurityError(f"file name {name!r} is not plain", where=str(directory))
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise SecurityError(f"{name} is a link or device, not a file", where=str(directory))
        if name != MANIFEST:
            _check_kind(directory, name)
            files.append(name)
    return tuple(files)


def _check_kind(directory: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.suffix.lower() in PICKLES:
        raise SecurityError(
            f"{name} may be a pickle, which runs code when it is loaded",
            where=str(directory),
            help="keep optimizer state in the run's directory; save weights as safetensors",
        )
    if path.suffix not in ALLOWED and path.name not in _WITHOUT_SUFFIX:
        raise SecurityError(
            f"{name} is of no kind that an artifact holds ({', '.join(sorted(ALLOWED))})",
            where=str(directory),
        )
    with (directory / name).open("rb") as file:
        if file.read(4).startswith(_MAGIC):
            raise SecurityError(
                f"{name} is a pickle or an archive by content", where=str(directory)
            )


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an artifact; `file` is relative to its directory."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def verify_directory(directory: Path) -> tuple[Problem, ...]:
    """Everything that is wrong with an artifact; empty when each byte is the one that was frozen.

    Changed, missing and extra files, links, an edited manifest, and digests that do not follow from
    the bytes.

    Raises: UsageError when there is no such directory.

    Example: `for problem in verify_directory(path): print(problem)`
    """
    if not directory.is_dir():
        raise UsageError("directory is missing", where=str(directory))
    fields, problems = _manifest(directory)
    try:
        files = _file_problems(directory, fields["files"]) if fields else []
        if problems:
            doubt = "does not fit the manifest, which is damaged itself"
            files = [replace(problem, message=doubt) for problem in files]
        return (*problems, *files) or tuple(_digest_problems(directory, fields))
    except (KeyError, TypeError, AttributeError) as error:
        return (*problems, Problem(MANIFEST, f"manifest lacks a field: {error}"))


def require_intact(directory: Path) -> None:
    """Refuse an artifact that is not the one that was frozen.

    Raises: IntegrityError with every problem.
    """
    problems = verify_directory(directory)
    if problems:
        raise IntegrityError(
            "; ".join(str(problem) for problem in problems),
            where=str(directory),
            help="restore the directory from a copy, or make the artifact again",
        )


def _manifest(directory: Path) -> tuple[dict[str, Any], list[Problem]]:
    path = directory / MANIFEST
    try:
        return read_fields(path), []
    except RefusedError as error:
        problem = Problem(MANIFEST, error.message)
    # A manifest with a changed byte still names the files; the others are checked against it.
    try:
        return read_object(path), [problem]
    except RefusedError:
        return {}, [problem]


def _file_problems(directory: Path, expected: Mapping[str, Any]) -> list[Problem]:
    found = dict(walk(directory))
    problems = [*_stray_problems(found, expected)]
    present = [n for n in expected if n in found and stat.S_ISREG(found[n].st_mode)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        digests = dict(
            zip(present, pool.map(lambda n: _digest(directory / n), present), strict=True)
        )
    for name in expected:
        if name not in found:
            problems.append(Problem(name, "is missing"))
        elif name in digests and digests[name] != expected[name]["sha256"]:
            problems.append(Problem(name, "bytes are not the ones that were frozen"))
    return sorted(problems, key=lambda problem: problem.file)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _stray_problems(
    found: Mapping[str, os.stat_result], expected: Mapping[str, Any]
) -> Iterator[Problem]:
    for name, status in found.items():
        if stat.S_ISDIR(status.st_mode):
            if not any(path.startswith(f"{name}/") for path in expected):
                yield Problem(name, "is an extra directory")
        elif not stat.S_ISREG(status.st_mode):
            yield Problem(name, "is a link or device; expected a file")
        elif name not in expected and name != MANIFEST:
            yield Problem(name, "is an extra file")


def _digest_problems(directory: Path, fields: Mapping[str, Any]) -> list[Problem]:
    """A manifest whose files fit may still claim digests that do not follow from them."""
    try:
        digests = asdict(directory_digests(directory))
        pairs = [(part, digests[part], fields[part]) for part in digests]
        if is_digest(directory.name):
            pairs.append(("the artifact", directory.name, fields["digest"]))
        for snapshot in fields["snapshots"]:
            made = directory_digests(directory / snapshot["path"]).weights
            pairs.append((f"snapshot {snapshot['fraction']}", made, snapshot["digest"]))
    except RefusedError as error:
        return [Problem(error.where or str(directory), error.message)]
    return [
        Problem(MANIFEST, f"digest of {part} is {claimed}; expected {made}")
        for part, made, claimed in pairs
        if made != claimed
    ]
