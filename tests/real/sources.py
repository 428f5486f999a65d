"""Where the public data lies, and reading its files. It is never copied into the repository."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT

DATA = ROOT.parent / "shared" / "data"


def require_data() -> Path:
    """The directory of the data sets; skips the test, saying so, where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"the public data sets are not at {DATA}")
    return DATA


def read(name: str) -> list[dict[str, Any]]:
    """The rows of one file below the data directory, by its ending."""
    path = DATA / name
    if name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    text = path.read_text(encoding="utf-8")
    if name.endswith(".csv"):
        return list(csv.DictReader(text.splitlines(keepends=True)))
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)
