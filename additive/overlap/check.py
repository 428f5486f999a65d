"""Leaks between files: every training file against every file of held-out items, by digest.

A result is a function of the two files' bytes and of the rules' version, so a cached one is never
stale.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from additive.overlap.leaks import Corpus, Text, find_leaks
from additive.overlap.texts import item_text, row_texts
from additive.spec.rows import Scanner, read_rows, scan_rows
from additive.types.digests import digest_file, digest_json

RULES_VERSION = 2


_SPAN_SHOWN = 80


@dataclass(frozen=True)
class DataFile:
    """A file to compare: where it is, how messages call it, and its digest."""

    path: Path
    display_path: str
    digest: str

    @classmethod
    def of(cls, path: Path, display_path: str | None = None) -> DataFile:
        """The file at a path. Raises: OSError when it cannot be read."""
        return cls(path, display_path or str(path), digest_file(path))


@dataclass(frozen=True)
class FileLeak:
    """A held-out item in a training file: `line` is the row's, `span` the words they share."""

    train: str
    line: int
    held_out: str
    item: str
    kind: str
    span: str

    def __str__(self) -> str:
        cut = len(self.span) > _SPAN_SHOWN
        span = f"{self.span[: _SPAN_SHOWN - 1]}…" if cut else self.span
        held_out = f"item {self.item!r} of {self.held_out}"
        return f"{self.train}:{self.line}: row holds {held_out} ({self.kind}: {span!r})"


def leaks_between(
    train: Sequence[DataFile],
    held_out: Sequence[DataFile],
    cache: Path,
    scan: Scanner = scan_rows,
) -> tuple[FileLeak, ...]:
    """Every held-out item that stands in a training file; pairs seen before come from the cache.

    Raises: SpecError when a file is no JSON lines.
    """
    texts = _Texts(scan)
    return tuple(
        FileLeak(rows.display_path, line, items.display_path, item, kind, span)
        for rows in train
        for items in held_out
        for line, item, kind, span in _pair(rows, items, cache, texts)
    )


def _pair(
    rows: DataFile, items: DataFile, cache: Path, texts: _Texts
) -> Iterator[tuple[int, str, str, str]]:
    key = digest_json(["leaks", RULES_VERSION, rows.digest, items.digest])
    path = cache / "leaks" / f"{key}.json"
    found = _cached(path, key)
    if found is None:
        leaks = find_leaks(texts.train(rows), texts.held_out(items))
        found = [[leak.line, leak.item, leak.kind, leak.span] for leak in leaks]
        _remember(path, key, found)
    for line, item, kind, span in found:
        yield int(line), str(item), str(kind), str(span)


class _Texts:
    """The texts of files, each read once and only when a pair is new."""

    def __init__(self, scan: Scanner) -> None:
        self._scan = scan
        self._known: dict[tuple[str, str], Corpus] = {}

    def train(self, file: DataFile) -> Corpus:
        """The texts of a training file's rows, by line."""

        key = ("train", file.digest)
        if key not in self._known:
            rows = read_rows(file.path, file.display_path, self._scan)
            texts = [Text(row.line, text) for row in rows for text in row_texts(row.fields)]
            self._known[key] = Corpus(texts)
        return self._known[key]

    def held_out(self, file: DataFile) -> Corpus:
        """The prompts of a file of items, by id; one without an id goes by its line."""

        key = ("items", file.digest)
        if key not in self._known:
            rows = read_rows(file.path, file.display_path, self._scan)
            named = [(str(row.fields.get("id", f"line {row.line}")), row) for row in rows]
            self._known[key] = Corpus([Text(name, item_text(row.fields)) for name, row in named])
        return self._known[key]


def _cached(path: Path, key: str) -> list[list] | None:
    """What was found before; None where the record is damaged or was edited."""
    try:
        record = json.loads(path.read_bytes())
        found = record["leaks"]
        return found if record["seal"] == _seal(key, found) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal(key: str, found: list[list]) -> str:
    return digest_json(["additive.leaks", key, found])


def _remember(path: Path, key: str, found: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"leaks": found, "seal": _seal(key, found)}))
    os.replace(partial, path)
