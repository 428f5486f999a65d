"""The store: every artifact once, whole or not at all, newest by order of freezing.

store/artifacts/<name>/<digest>/    a directory that transformers or peft can load, read-only
store/order/<name>/<number>.<digest>
store/sidecars/<digest>/            what is learned later
store/staging/                      where work is done; cleaned of dead processes' leftovers

Which version of a name is the newest: by order of freezing, never by clock.

One empty file per freeze, `<number>.<digest>`. It is written before the artifact appears and counts
only once that is there, so that the rename which makes the artifact whole also makes it the newest.

Places to work in that vanish with their process.

A staging directory has a lock file beside it that its process holds. The kernel frees the lock when
the process dies, however it dies; whoever starts next removes what nobody holds.

Turning a finished working directory into a frozen one: checked, hashed, on disk, sealed.

Nothing here makes it visible; that is the store's one rename.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from additive.artifacts.atomic import create_synced
from additive.artifacts.content import directory_digests, stem_of
from additive.artifacts.manifest import Artifact, FileEntry, Manifest, ManifestDraft, complete
from additive.artifacts.seal import MANIFEST
from additive.artifacts.verify import list_files, verify_directory, walk
from additive.errors import FormatError, IntegrityError, UnknownName, UsageError
from additive.tensors.disk import disk_errors, sync_directory, sync_file
from additive.tensors.reader import non_finite, open_checkpoint
from additive.types.digests import Digest, digest_file, is_digest, short
from additive.types.references import Reference, parse_reference

_ENTRY = re.compile(r"(\d{8,})\.([0-9a-f]{64})")


def frozen_order(directory: Path) -> tuple[Digest, ...]:
    """Digests by their last freeze, oldest first."""
    last = {digest: number for number, digest in _entries(directory)}
    return tuple(sorted(last, key=lambda digest: (last[digest], digest)))


def announce(directory: Path, digest: Digest) -> Path | None:
    """Write that a digest is about to be frozen; None when it is the newest already.

    Two processes may take the same number; the greater digest then counts as the later one,
    everywhere.
    """
    entries = _entries(directory)
    if entries and entries[-1][1] == digest:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    number = entries[-1][0] + 1 if entries else 1
    entry = directory / f"{number:08d}.{digest}"
    # Another process that freezes the same artifact may have written the same entry just now.
    with suppress(FileExistsError):
        create_synced(entry, b"")
    sync_directory(directory)
    return entry


def retire(directory: Path, digest: Digest) -> None:
    """Remove the entries of a digest's earlier freezes."""
    for number, _ in [entry for entry in _entries(directory) if entry[1] == digest][:-1]:
        (directory / f"{number:08d}.{digest}").unlink(missing_ok=True)


def _entries(directory: Path) -> list[tuple[int, Digest]]:
    if not directory.is_dir():
        return []
    found = [_ENTRY.fullmatch(path.name) for path in directory.iterdir()]
    return sorted((int(match[1]), match[2]) for match in found if match)


@contextmanager
def staging_directory(root: Path, label: str) -> Iterator[Path]:
    """An empty directory below `root`, removed at the end unless it was moved away.

    Raises: ResourceError when the disk is full or fails.
    """
    path = root / f"{label}-{os.getpid()}-{secrets.token_hex(4)}"
    owner = _lock(_lock_path(path))
    try:
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            with _lock(root / "mutex"):
                _reclaim(root)
                owner.acquire()
                path.mkdir()
        yield path
    finally:
        _release(path, owner)


def reclaim(root: Path) -> tuple[str, ...]:
    """Remove the staging directories of dead processes; gives their names."""
    if not root.is_dir():
        return ()
    with disk_errors(root), _lock(root / "mutex"):
        return _reclaim(root)


def _reclaim(root: Path) -> tuple[str, ...]:
    labels = {p.name.removesuffix(".lock") for p in root.iterdir() if p.name != "mutex"}
    return tuple(label for label in sorted(labels) if _reclaim_one(root / label))


def _reclaim_one(path: Path) -> bool:
    owner = _lock(_lock_path(path))
    try:
        owner.acquire(blocking=False)
    except Timeout:
        return False
    _release(path, owner)
    return True


def _release(path: Path, owner: FileLock) -> None:
    # What cannot be removed now is removed at the next start; the error that led here matters more.
    try:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            _lock_path(path).unlink()
    finally:
        owner.release()


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> FileLock:
    return FileLock(path, thread_local=False)


def describe(staged: Path, draft: ManifestDraft) -> Manifest:
    """The manifest that a directory gets: checks everything, hashes every byte, writes nothing.

    Raises: SecurityError for files that do not belong in an artifact, IntegrityError for weights
    that are damaged or not finite.
    """
    names = list_files(staged)
    _check_weights(staged)
    snapshots = []
    for snapshot in draft.snapshots:
        _check_weights(staged / snapshot.path)
        weights = directory_digests(staged / snapshot.path).weights
        snapshots.append(snapshot.model_copy(update={"digest": weights}))
    draft = draft.model_copy(update={"snapshots": tuple(snapshots)})
    return complete(draft, asdict(directory_digests(staged)), _file_entries(staged, names))


def finalize(staged: Path, manifest: Manifest) -> None:
    """Write the manifest last, force all to disk; files become read-only, umask kept.

    Directories stay writable, as in git's object store: whoever owns a workspace may delete it, and
    an extra file is found by verification.

    Raises: ResourceError when the disk is full or fails; the directory must then be discarded.
    """
    with disk_errors(staged):
        (staged / MANIFEST).unlink(missing_ok=True)
        for name in manifest.files:
            sync_file(staged / name)
        mode = create_synced(staged / MANIFEST, manifest.text().encode())
        _set_modes(staged, mode)
        for directory in _directories(staged):
            sync_directory(directory)


def _check_weights(directory: Path) -> None:
    if not directory.is_dir():
        raise IntegrityError("snapshot is missing", where=str(directory))
    with open_checkpoint(directory, stem_of(directory)) as checkpoint:
        broken = non_finite(checkpoint)
    if broken:
        raise IntegrityError(
            f"tensor {broken[0]!r} holds NaN or infinity ({len(broken)} such tensors)",
            where=str(directory),
        )


def _file_entries(staged: Path, names: Sequence[str]) -> dict[str, FileEntry]:
    def entry(name: str) -> FileEntry:
        path = staged / name
        return FileEntry(sha256=digest_file(path), size=path.stat().st_size)

    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(entry, names), strict=True))


def _set_modes(staged: Path, created: int) -> None:
    # `created` is what the umask left of 0666 for the manifest: the umask itself cannot be read
    # without setting it.
    for path in _directories(staged):
        path.chmod(created | (created & 0o444) >> 2)
    for name, status in walk(staged):
        path = staged / name
        if not path.is_dir() and status.st_mode & 0o777 != created & 0o444:
            path.chmod(created & 0o444)


def _directories(staged: Path) -> list[Path]:
    below = [staged / name for name, _ in walk(staged) if (staged / name).is_dir()]
    return [*reversed(below), staged]


_NAME = re.compile(r"[a-z0-9][a-z0-9_+-]{0,127}")


class Store:
    """All artifacts of a workspace below one directory, which need not exist yet.

    Example:
        store = Store(workspace / ".additive" / "store")
        with store.staging("specialist", "math") as directory:
            model.save_pretrained(directory)
            artifact = store.freeze(directory, ManifestDraft(kind="specialist", name="math"))
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def staging(self, kind: str, name: str) -> AbstractContextManager[Path]:
        """An empty directory on the store's file system, gone at the end unless frozen.

        Raises: ResourceError when the disk is full or fails.
        """
        return staging_directory(self.root / "staging", f"{kind}-{_checked_name(name)}")

    def reclaim(self) -> tuple[str, ...]:
        """Remove what killed processes left in staging; gives the names of what went."""
        return reclaim(self.root / "staging")

    def freeze(self, staged: Path, draft: ManifestDraft) -> Artifact:
        """Make a staged directory an artifact: all of it appears with one rename, or nothing does.

        What is there already under the same digest is kept (and becomes the newest), unless its
        bytes were damaged.

        Raises: SecurityError for pickles and other files that do not belong, IntegrityError for
        damaged weights, ResourceError when the disk is full or fails.
        """
        with disk_errors(staged):
            manifest = describe(staged, draft)
        target = self._directory(_checked_name(draft.name)) / manifest.digest
        order = self.root / "order" / draft.name
        with disk_errors(target):
            if not self._set_damaged_aside(target):
                finalize(staged, manifest)
            entry = announce(order, manifest.digest)
            try:
                self._install(staged, target)
            except BaseException:
                if entry and not target.exists():
                    entry.unlink(missing_ok=True)
                raise
            retire(order, manifest.digest)
        return Artifact(draft.name, manifest.digest, target)

    def resolve(self, reference: Reference | str) -> Artifact:
        """The artifact that a reference means: the newest, or the one with the digest prefix.

        Raises: UnknownName, UsageError for a prefix that fits several, IntegrityError for a damaged
        manifest.

        Example: `store.resolve("math@9f3c").path`
        """
        wanted = parse_reference(reference) if isinstance(reference, str) else reference
        versions = self.versions(wanted.name)
        if not versions:
            raise UnknownName("artifact", wanted.name, self.names())
        fitting = [v for v in versions if v.digest.startswith(wanted.digest or "")]
        if not fitting:
            known = [short(v.digest) for v in versions]
            raise UnknownName(f"version of {wanted.name}", wanted.digest or "", known)
        if wanted.digest and len(fitting) > 1:
            several = ", ".join(short(v.digest, 12) for v in fitting)
            raise UsageError(f"reference {wanted} is ambiguous: {several}", help="give more digits")
        _check_identity(fitting[-1])
        return fitting[-1]

    def versions(self, name: str) -> tuple[Artifact, ...]:
        """All versions of a name, oldest first by order of freezing."""
        directory = self._directory(_checked_name(name))
        if not directory.is_dir():
            return ()
        order = {
            digest: rank for rank, digest in enumerate(frozen_order(self.root / "order" / name))
        }
        digests = [path.name for path in directory.iterdir() if is_digest(path.name)]
        digests.sort(key=lambda digest: (order.get(digest, -1), digest))
        return tuple(Artifact(name, digest, directory / digest) for digest in digests)

    def current(self, name: str) -> tuple[Artifact, ...]:
        """The versions of a name without those that an older additive froze, oldest first.

        What is looked up to be reused comes from here: an older version is made again.

        Raises: IntegrityError for a damaged manifest.
        """
        return tuple(artifact for artifact in self.versions(name) if not _is_outdated(artifact))

    def names(self) -> tuple[str, ...]:
        """Every name that has an artifact, sorted."""
        directory = self.root / "artifacts"
        found = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []
        return tuple(name for name in found if _NAME.fullmatch(name) and self.versions(name))

    def all(self) -> tuple[Artifact, ...]:
        """Every artifact, by name, oldest version first; manifests are read when asked for."""
        return tuple(artifact for name in self.names() for artifact in self.versions(name))

    def sidecar(self, digest: Digest) -> Path:
        """The directory for what is learned about an artifact later; made on first use.

        Raises: UsageError for anything but a whole digest.
        """
        if not is_digest(digest):
            raise UsageError(f"sidecar of {digest!r} should be named by a whole digest")
        path = self.root / "sidecars" / digest
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def _directory(self, name: str) -> Path:
        return self.root / "artifacts" / name

    def _set_damaged_aside(self, target: Path) -> bool:
        """Whether the artifact is there and whole; a damaged one goes to staging."""
        if not target.exists():
            return False
        if not verify_directory(target):
            return True
        trash = self.root / "staging" / f"damaged-{secrets.token_hex(4)}"
        trash.parent.mkdir(parents=True, exist_ok=True)
        target.rename(trash)
        return False

    def _install(self, staged: Path, target: Path) -> None:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(staged, target)
            except OSError as error:
                # Somebody else froze the same artifact in between; theirs has the same bytes.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        sync_directory(target.parent)
        sync_directory(target.parent.parent)
        shutil.rmtree(staged, ignore_errors=True)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"artifact name is {name!r}; expected a name that matches [a-z0-9][a-z0-9_+-]*"
        )
    return name


def _is_outdated(artifact: Artifact) -> bool:
    try:
        artifact.manifest  # noqa: B018  (read and checked at first use)
    except FormatError:
        return True
    return False


def _check_identity(artifact: Artifact) -> None:
    manifest = artifact.manifest
    if (manifest.name, manifest.digest) != (artifact.name, artifact.digest):
        raise IntegrityError(
            f"manifest is of {manifest.name}@{short(manifest.digest)}",
            where=str(artifact.path),
            help="directories of the store were moved by hand",
        )
