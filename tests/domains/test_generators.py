"""The shipped data is what the generators write, byte for byte, and each file stays disjoint."""

from __future__ import annotations

import pytest

from tools.tinybase.general import guard_items
from tools.tinybase.mixture import recall_items
from tools.tinybase.rows import normalised, write_lines

from .conftest import DOMAINS, ROOT, TINY, load_generator, read_lines


@pytest.mark.parametrize("domain", DOMAINS)
def test_generator_reproduces_the_shipped_bytes(domain, tmp_path):
    files = load_generator(ROOT / "domains" / domain / "generate.py").generate()
    assert len(files) == 4
    for name, items in files.items():
        write_lines(tmp_path / name, items)
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), name


def test_recall_and_guard_are_reproduced(tmp_path):
    for shipped, items in (
        (TINY / "recall.jsonl", recall_items()),
        (ROOT / "evals" / "tasks" / "general.jsonl", guard_items()),
    ):
        write_lines(tmp_path / shipped.name, items)
        assert (tmp_path / shipped.name).read_bytes() == shipped.read_bytes(), shipped.name


def test_no_held_out_prompt_is_trained_on(training, validation, held_out):
    guard = read_lines(ROOT / "evals" / "tasks" / "general.jsonl")
    recall = read_lines(TINY / "recall.jsonl")
    seen = {
        normalised(row["prompt"])
        for rows in (*training.values(), *validation.values(), recall)
        for row in rows
    }
    for key, items in {**held_out, ("general", "cloze"): guard}.items():
        assert len(items) >= 1000, key
        prompts = [normalised(item["prompt"]) for item in items]
        assert not seen.intersection(prompts), key
        if key[0] != "general":
            assert len(set(prompts)) == len(prompts), key


def test_validation_is_disjoint_from_training(training, validation):
    for domain in DOMAINS:
        trained = {normalised(row["prompt"]) for row in training[domain]}
        assert not trained & {normalised(row["prompt"]) for row in validation[domain]}


def test_recall_holds_nothing_harmful_and_nothing_unfinished():
    recall = read_lines(TINY / "recall.jsonl")
    assert len(recall) >= 3000
    kinds = {row["kind"] for row in recall}
    assert not any("start" in kind for kind in kinds)
    assert {"story", "operation", "request", "tale", "fact", "arithmetic", "chain"} <= kinds
