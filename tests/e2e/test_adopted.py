"""README's second story: three PEFT folders and three files of questions become a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.adapters import SKILLS, train_adapter, write_questions
from tests.e2e.bases import build_base
from tests.e2e.command import run_here

STATES = {"pass", "fail", "cannot tell"}


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    """What somebody has: a base, three adapters trained on it, three files of questions."""
    root = tmp_path_factory.mktemp("before")
    base = build_base("qwen", root / "Qwen3-8B")
    for skill in SKILLS:
        train_adapter(base, root / "saves" / f"{skill}-lora", skill)
        write_questions(root / f"{skill}_heldout.jsonl", skill)
    return root


def test_three_folders_and_three_files_become_a_verdict(before, capsys):
    made = run_here(capsys, before, "init", "team", "--base", "./Qwen3-8B")
    assert made.code == 0, made.err
    assert "additive adopt DIR --as NAME" in made.out
    team = before / "team"
    for skill in SKILLS:
        folder, questions = f"../saves/{skill}-lora", f"../{skill}_heldout.jsonl"
        done = run_here(
            capsys, team, "adopt", folder, "--as", skill, "--suite", questions, "--json"
        )
        assert done.code == 0, done.out + done.err
        said = done.json
        assert said["schema"] == "additive.adopt/1"
        assert said["check"]["verdict"] == "pass"
        assert said["check"]["suites"] == [f"{skill}-held-out"]
        assert said["base"]["state"] == "checked"
        assert said["left"] == [
            "README.md", "checkpoint-20/", "optimizer.pt", "runs/", "trainer_state.json",
            "training_args.bin",
        ]  # fmt: skip
        names = sorted(path.name for path in Path(said["path"]).iterdir())
        assert names == ["adapter_config.json", "adapter_model.safetensors", "manifest.json"]
    graders = {"math": "numeric", "code": "literal", "sql": "exact"}
    suites = run_here(capsys, team, "list", "suites", "--json").json["suites"]
    assert {s["domain"] for s in suites if s["tasks"] == ["held-out"]} >= set(graders)
    found = run_here(capsys, team, "diagnose", *SKILLS, "--json")
    assert found.code == 0, found.err
    assert found.json["findings"]
    merged = run_here(capsys, team, "merge", *SKILLS, "--json")
    assert merged.code in (0, 1), merged.err
    check = merged.json["check"]
    assert check["verdict"] in STATES
    targets = {s["domain"]: s for s in check["suites"] if s["role"] == "target"}
    assert set(targets) == set(SKILLS)
    assert all(s["n"] == 12 and s["specialist"] == 1.0 for s in targets.values())
    assert merged.json["scale"] == 1.0
    assert any(note.startswith("scale 1: no source has") for note in merged.json["notes"])
    page = Path(check["report"]).read_text(encoding="utf-8")
    assert "base checked: it beats the base" in page
    assert "additive adopt DIR --as math" in page
    assert "How the deltas meet" in page


def test_an_adapter_of_another_base_with_the_same_shapes_stays_claimed(before, tmp_path, capsys):
    """Nothing in the files tells it apart; only asking does."""
    foreign = build_base("qwen", tmp_path / "other", seed=7)
    train_adapter(foreign, tmp_path / "foreign", "math")
    assert run_here(capsys, tmp_path, "init", "w", "--base", str(before / "Qwen3-8B")).code == 0
    questions = str(write_questions(tmp_path / "q.jsonl", "math"))
    root = tmp_path / "w"
    done = run_here(capsys, root, "adopt", "../foreign", "--as", "math", "--suite", questions)
    assert done.code == 1
    assert "base      claimed: the check cannot tell" in done.out
    shown = run_here(capsys, root, "show", "math")
    assert "base claimed  the check cannot tell" in shown.out
    listed = run_here(capsys, root, "list", "domains")
    assert "base claimed" in listed.out
