"""The page on the Python API names every public name, and its programs run."""

from __future__ import annotations

import additive
from tests.deltas import tiny
from tests.house.documents import blocks
from tests.house.source import ROOT
from tests.verbs.making import TARGETS, make_adapters

PAGE = ROOT / "docs" / "python.md"
ROWS = {name: [{"prompt": name, "completion": "x"}] for name in ("math", "code")}


def test_every_public_name_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    named = {"Workspace": "`Workspace`"}
    assert [n for n in additive.__all__ if named.get(n, f"| `{n}") not in page] == []


def test_the_programs_of_the_page_run_one_after_the_other(tmp_path, bases, monkeypatch, capsys):
    base = bases()
    workspace = make_adapters(tmp_path / "work", base, ROWS)
    (workspace.root / "base").symlink_to(base)
    for seed, name in enumerate(ROWS, start=1):
        folder = workspace.root / "saves" / f"{name}-lora"
        tiny.save_adapter(folder, base, seed=seed, r=3, target_modules=TARGETS)
    monkeypatch.chdir(workspace.root)
    start = tiny.logits(tiny.load(base))
    scores = []

    def score(model) -> float:
        scores.append((tiny.logits(model) - start).abs().mean().item())
        return scores[-1]

    known = {"score": score}
    programs = [block.text for block in blocks(PAGE) if block.info == ("python", "run")]
    for program in programs:
        exec(compile(program, str(PAGE), "exec"), known)
    assert len(programs) == 4
    assert len(scores) == 4
    assert min(scores) > 0
    said = capsys.readouterr().out
    assert "not checked" in said
    assert "rounded away" in said
    assert " -> " in said
