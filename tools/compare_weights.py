"""Compares the weights of two workspaces: every specialist, snapshot and merge, old against new.

    python tools/compare_weights.py OLD NEW [--json]

OLD and NEW are workspaces, such as `additive demo` makes, of the same or of two versions of
additive: nothing of the package is imported, manifests are read as plain JSON. The exit code is 0
where all weights are the same, 1 where any differ or are on one side only, 2 where a workspace
cannot be read.

The digest is computed from the files, by the formula of `additive/types/digests.py`: sha256 over
the canonical JSON of the sorted [name, dtype, shape, sha256 of the bytes] of all tensors. A
manifest that states another one counts as a difference, too. Of several artifacts of one name all
are compared, in any order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ARTIFACTS = Path(".additive") / "store" / "artifacts"
_CHUNK = 1 << 20
_SHORT = 16


@dataclass(frozen=True)
class Weights:
    """The weights of one artifact or snapshot.

    Attributes:
        label: `math`, `math#0.5` for a snapshot, `math+code` for a merge.
        kind: what the manifest says: `specialist`, `merge`, …
        digest: computed from the files.
        stated: what the manifest says; None where it says nothing.
    """

    label: str
    kind: str
    digest: str
    stated: str | None


@dataclass(frozen=True)
class Row:
    """One label in both workspaces; several digests where a name has several artifacts."""

    label: str
    kind: str
    old: list[str]
    new: list[str]
    verdict: str


def weights_digest(directory: Path) -> str:
    """The Merkle digest over the tensors of all `*.safetensors` files that lie in a directory.

    Raises: ValueError for a file that is not safetensors, OSError for one that cannot be read.
    """
    leaves = sorted(
        leaf for path in directory.glob("*.safetensors") for leaf in _tensor_leaves(path)
    )
    text = json.dumps(leaves, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _tensor_leaves(path: Path) -> Iterator[tuple[str, str, list[int], str]]:
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            entries = [
                (name, entry["dtype"], entry["shape"], *entry["data_offsets"])
                for name, entry in header.items()
                if name != "__metadata__"
            ]
        except (struct.error, ValueError, LookupError, TypeError, MemoryError, OverflowError):
            raise ValueError(f"{path} is not a safetensors file") from None
        for name, dtype, shape, start, end in entries:
            file.seek(8 + length + start)
            state = hashlib.sha256()
            for place in range(start, end, _CHUNK):
                state.update(file.read(min(_CHUNK, end - place)))
            yield name, dtype, shape, state.hexdigest()


def read_store(workspace: Path) -> list[Weights]:
    """The weights of every artifact in a workspace's store, snapshots included.

    Raises: ValueError where there is no artifact, or one whose manifest or weights are damaged.
    """
    manifests = sorted((workspace / ARTIFACTS).rglob("manifest.json"))
    if not manifests:
        raise ValueError(
            f"{workspace / ARTIFACTS} holds no artifact; expected a finished workspace"
        )
    return [weights for path in manifests for weights in _read_artifact(path)]


def _read_artifact(manifest: Path) -> Iterator[Weights]:
    try:
        fields: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        name, kind = fields["name"], fields.get("kind", "?")
        snapshots = {entry["path"]: entry.get("digest") for entry in fields.get("snapshots") or []}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{manifest} is not a manifest of additive") from None
    root = manifest.parent
    for directory in sorted({path.parent for path in root.rglob("*.safetensors")}):
        inner = directory.relative_to(root).as_posix()
        own = inner == "."
        yield Weights(
            label=name if own else f"{name}#{directory.name}",
            kind=kind if own else "snapshot",
            digest=weights_digest(directory),
            stated=(fields.get("weights") if own else snapshots.get(inner)) or None,
        )


def compare(old: Iterable[Weights], new: Iterable[Weights]) -> list[Row]:
    """One row per label, sorted; `verdict` is `same` or says how the two sides differ."""
    sides: dict[str, tuple[list[Weights], list[Weights]]] = defaultdict(lambda: ([], []))
    for side, found in enumerate((old, new)):
        for weights in found:
            sides[weights.label][side].append(weights)
    return [_row(label, *pair) for label, pair in sorted(sides.items())]


def _row(label: str, old: list[Weights], new: list[Weights]) -> Row:
    before, after = sorted(w.digest for w in old), sorted(w.digest for w in new)
    if not before or not after:
        verdict = "only in old" if before else "only in new"
    elif before != after:
        verdict = "DIFFERENT"
    elif any(w.stated not in (None, w.digest) for w in [*old, *new]):
        verdict = "manifest states another digest"
    else:
        verdict = "same"
    return Row(label, [*old, *new][0].kind, before, after, verdict)


def table(rows: list[Row]) -> str:
    """The rows as text, digests cut to their first digits."""
    cells: list[tuple[str, ...]] = [("name", "kind", "old", "new", "")]
    for row in rows:
        digests = (" ".join(d[:_SHORT] for d in side) or "-" for side in (row.old, row.new))
        cells.append((row.label, row.kind, *digests, row.verdict))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, compare, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", metavar="OLD", type=Path)
    parser.add_argument("new", metavar="NEW", type=Path)
    parser.add_argument("--json", action="store_true", help="print whole digests as JSON")
    options = parser.parse_args(arguments)
    try:
        rows = compare(read_store(options.old), read_store(options.new))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    different = sum(row.verdict != "same" for row in rows)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        print(table(rows))
        print(
            f"{different} of {len(rows)} differ" if different else f"all {len(rows)} are the same"
        )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
