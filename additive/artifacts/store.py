"""The store: every artifact once, whole or not at all, newest by order of freezing.

store/artifacts/<name>/<digest>/    a directory that transformers or peft can load, read-only
store/order/<name>/<number>.<digest>
store/sidecars/<digest>/            what is learned later
store/staging/                      where work is done; cleaned of dead processes' leftovers
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from additive.artifacts.artifact import Artifact
from additive.artifacts.freeze import describe, settle
from additive.artifacts.manifest import ManifestDraft
from additive.artifacts.order import announce, frozen_order, retire
from additive.artifacts.staging import reclaim, staging_directory
from additive.artifacts.verify import verify_directory
from additive.errors import IntegrityError, UnknownName, UsageError
from additive.tensors.disk import disk_errors, sync_directory
from additive.types.digests import Digest, is_digest, short
from additive.types.references import Reference, parse_reference

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
                settle(staged, manifest)
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
        raise UsageError(f"artifact name is {name!r} when it should match [a-z0-9][a-z0-9_+-]*")
    return name


def _check_identity(artifact: Artifact) -> None:
    manifest = artifact.manifest
    if (manifest.name, manifest.digest) != (artifact.name, artifact.digest):
        raise IntegrityError(
            f"manifest is of {manifest.name}@{short(manifest.digest)}",
            where=str(artifact.path),
            help="directories of the store were moved by hand",
        )
