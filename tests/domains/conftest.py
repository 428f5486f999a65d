"""Shared access to the shipped domains: generators as modules, items as lists."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOMAINS = ("math", "code", "safety")
SUITES = ("new_values", "new_frames")
TINY = ROOT / "additive" / "data" / "tiny"


def read_lines(path: Path) -> list[dict]:
    """Return the items of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_generator(path: Path) -> ModuleType:
    """Import a generator by its path."""
    spec = importlib.util.spec_from_file_location(f"generate_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def training() -> dict[str, list[dict]]:
    """Return the training rows of each domain."""
    return {d: read_lines(ROOT / "domains" / d / "train.jsonl") for d in DOMAINS}


@pytest.fixture(scope="session")
def validation() -> dict[str, list[dict]]:
    """Return the validation rows of each domain."""
    return {d: read_lines(ROOT / "domains" / d / "validation.jsonl") for d in DOMAINS}


@pytest.fixture(scope="session")
def held_out() -> dict[tuple[str, str], list[dict]]:
    """Return the held-out items of each domain and suite."""
    tasks = ROOT / "evals" / "tasks"
    return {(d, s): read_lines(tasks / f"{d}_{s}.jsonl") for d in DOMAINS for s in SUITES}
