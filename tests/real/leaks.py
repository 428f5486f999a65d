"""Training rows that hold a held-out item of any suite, found by additive.overlap and taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from additive.overlap.check import DataFile, leaks_between
from tests.real.domains import RealDomain
from tests.real.workspace import write_rows


@dataclass(frozen=True)
class Found:
    """Leaks between one domain's rows and one held-out task, by rule, and the prompts to drop."""

    domain: str
    task: str
    items: int
    by_rule: tuple[tuple[str, int], ...]
    prompts: frozenset[str]

    def __str__(self) -> str:
        rules = ", ".join(f"{count} {rule}" for rule, count in self.by_rule)
        return (
            f"{self.domain} -> {self.task}: {self.items} items leak ({rules}); "
            f"{len(self.prompts)} rows removed"
        )


def clean(domains: Sequence[RealDomain]) -> tuple[tuple[RealDomain, ...], tuple[Found, ...]]:
    """The domains without rows that any suite holds, and what was found."""
    with TemporaryDirectory() as name:
        found = _found(domains, Path(name))
    leaked = {
        domain.name: frozenset().union(*(f.prompts for f in found if f.domain == domain.name))
        for domain in domains
    }
    return tuple(domain.without(leaked[domain.name]) for domain in domains), found


def _found(domains: Sequence[RealDomain], directory: Path) -> tuple[Found, ...]:
    held_out = [
        _file(directory / f"{task}.jsonl", items)
        for domain in domains
        for suite in domain.held_out.values()
        for task, items in suite.items()
    ]
    return tuple(
        leak
        for domain in domains
        for file in held_out
        if (leak := _between(domain, file, directory)) is not None
    )


def _between(domain: RealDomain, held_out: DataFile, directory: Path) -> Found | None:
    rows = (*domain.train, *domain.validation)
    train = _file(directory / f"{domain.name}.jsonl", rows)
    leaks = leaks_between([train], [held_out], directory / "cache")
    if not leaks:
        return None
    rules = tuple(sorted(Counter(leak.kind for leak in leaks).items()))
    prompts = frozenset(rows[leak.line - 1]["prompt"] for leak in leaks)
    items = len({leak.item for leak in leaks})
    return Found(domain.name, held_out.path.stem, items, rules, prompts)


def _file(path: Path, rows: Iterable[Mapping[str, Any]]) -> DataFile:
    if not path.exists():
        write_rows(path, rows)
    return DataFile.of(path)
