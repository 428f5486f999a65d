"""Held-out items that a base has room for: prompts are never cut, too long ones are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.real.domains import RealDomain
from tests.real.workspace import Budget

FEWEST = 50


def fitting(domain: RealDomain, base: Path, budget: Budget) -> tuple[RealDomain, list[str]]:
    """The domain with the items that fit, and a line for each suite that lost some. A suite of
    fewer than FEWEST items says nothing and is left out."""
    from additive.models.loading import load_tokenizer
    from additive.models.template import prompt_ids

    tokenizer, context = load_tokenizer(base), _context(base)
    kept, lines = {}, []
    for suite, tasks in domain.held_out.items():
        room = context - budget.tokens(suite)
        kept[suite] = {
            task: tuple(i for i in items if len(prompt_ids(tokenizer, i["prompt"])) <= room)
            for task, items in tasks.items()
        }
        before, after = (sum(map(len, t.values())) for t in (tasks, kept[suite]))
        if after < before:
            left_out = "; the suite is left out" if after < FEWEST else ""
            lines.append(f"{suite}: {after} of {before} items fit {context} tokens{left_out}")
    whole = {s: tasks for s, tasks in kept.items() if sum(map(len, tasks.values())) >= FEWEST}
    return domain.with_held_out(whole), lines


def _context(base: Path) -> int:
    return int(max(_lengths(json.loads((base / "config.json").read_text("utf-8")))))


def _lengths(config: dict) -> Iterator[int]:
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(config.get(key), int):
            yield config[key]
    if isinstance(config.get("text_config"), dict):
        yield from _lengths(config["text_config"])
