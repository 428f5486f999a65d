"""Freeze one prepared directory: a process without torch, to be killed, starved and raced.

python -m tests.artifacts.freezing STORE PREPARED [NAME]
"""

from __future__ import annotations

import sys
from pathlib import Path

from additive.artifacts.manifest import Artifact, ManifestDraft, Snapshot
from additive.artifacts.store import Store
from additive.artifacts.verify import verify_directory
from additive.errors import AdditiveError
from additive.tensors.disk import disk_errors


def prepared_draft(name: str = "math") -> ManifestDraft:
    snapshot = Snapshot(fraction=0.5, step=3, path="snapshots/0.5")
    return ManifestDraft(kind="specialist", name=name, spec={"rank": 2}, snapshots=(snapshot,))


def freeze_prepared(root: Path, prepared: Path, name: str = "math") -> Artifact:
    store = Store(root)
    with store.staging("specialist", name) as staged:
        copy_into(staged, prepared)
        return store.freeze(staged, prepared_draft(name))


def copy_into(target: Path, source: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            with disk_errors(place):
                place.mkdir()
        else:
            with disk_errors(place):
                place.write_bytes(path.read_bytes())


def check_clean(root: Path, digest: str) -> int:
    """No artifact or a whole one, under its own name; gives how many."""
    store = Store(root)
    artifacts = store.all()
    for artifact in artifacts:
        assert verify_directory(artifact.path) == (), artifact
        assert artifact.digest == digest
        assert store.resolve("math") == artifact
    everything = root / "artifacts"
    found = [p for p in everything.rglob("*") if p.is_file()] if everything.exists() else []
    assert all(any(p.is_relative_to(a.path) for a in artifacts) for p in found)
    return len(artifacts)


def staged_names(root: Path) -> list[str]:
    staging = root / "staging"
    names = sorted(p.name for p in staging.iterdir()) if staging.exists() else []
    return [name for name in names if name != "mutex"]


if __name__ == "__main__":
    try:
        print(freeze_prepared(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]).digest)
    except AdditiveError as error:
        print(f"error: {error}\nhelp: {error.help}", file=sys.stderr)
        sys.exit(error.exit_code)
