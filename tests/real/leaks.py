"""Training rows that hold a held-out item of any suite, found by additive.overlap and taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from additive.overlap.leaks import HeldOut, TrainText, find_leaks
from additive.overlap.texts import item_text, normalise, row_texts
from tests.real.convert import Item, Row
from tests.real.domains import RealDomain


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
    tasks = [
        (task, items)
        for domain in domains
        for suite in domain.held_out.values()
        for task, items in suite.items()
    ]
    found = tuple(
        leak
        for domain in domains
        for task, items in tasks
        if (leak := _between(domain, task, items)) is not None
    )
    cleaned = tuple(
        domain.without(
            frozenset().union(*(leak.prompts for leak in found if leak.domain == domain.name))
        )
        for domain in domains
    )
    return cleaned, found


def _between(domain: RealDomain, task: str, items: Iterable[Item]) -> Found | None:
    rows: tuple[Row, ...] = (*domain.train, *domain.validation)
    texts = [
        TrainText(line, normalise(text)) for line, row in enumerate(rows) for text in row_texts(row)
    ]
    held_out = [HeldOut(item["id"], normalise(item_text(item))) for item in items]
    leaks = find_leaks(texts, held_out)
    if not leaks:
        return None
    rules = tuple(sorted(Counter(leak.kind for leak in leaks).items()))
    prompts = frozenset(rows[leak.line]["prompt"] for leak in leaks)
    return Found(domain.name, task, len({leak.item for leak in leaks}), rules, prompts)
