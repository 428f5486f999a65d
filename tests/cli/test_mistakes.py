"""Mistakes of people in a hurry, on the way from folders to a verdict: each says what mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import run_here
from tests.merge import files


@pytest.fixture
def saves(tmp_path, capsys):
    """A base, an adapter, questions, and a workspace."""
    files.write_base(tmp_path / "Qwen3-8B")
    files.write_lora(tmp_path / "saves" / "math-lora", 1, size=0.03)
    (tmp_path / "math_heldout.jsonl").write_text('{"prompt": "1+1", "answer": 2}\n')
    (tmp_path / "array.json").write_text('[{"prompt": "1+1", "answer": 2}]')
    (tmp_path / "pretty.json").write_text('{\n  "prompt": "1+1"\n}')
    (tmp_path / "empty.jsonl").write_text("")
    pointer = tmp_path / "saves" / "pointer"
    files.write_lora(pointer, 1)
    (pointer / "adapter_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n"
    )
    cut = files.write_lora(tmp_path / "saves" / "cut", 1) / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    sharded = files.write_model(tmp_path / "saves" / "sharded", files.values(0), shards=2)
    (sharded / "model.safetensors.index.json").unlink()
    half = files.write_lora(tmp_path / "saves" / "half", 1) / "adapter_config.json"
    half.write_bytes(half.read_bytes()[:20])
    done = run_here(capsys, tmp_path, "init", "team", "--base", "./Qwen3-8B")
    assert done.code == 0, done.err
    return tmp_path


def _tree(root: Path) -> list[Path]:
    """Every file, without locks and caches."""
    return sorted(p for p in root.rglob("*") if p.is_file() and not _OWN & set(p.parts))


_OWN = {"locks", "cache"}
ADOPT = ("adopt", "../saves/math-lora", "--as")


@pytest.mark.parametrize(
    ("where", "command", "code", "said", "help"),
    [
        (".", ("init", "t", "--base", "./Qwen3-9B"), 2, "did you mean 'Qwen3-8B'", "--base"),
        (".", ("init", "t", "--base", "saves/math-lra"), 2, "did you mean 'math-lora'", "--base"),
        (".", ("init", "t", "--base", "Qwen3-8B/config.json"), 2, "mean its folder", "--base"),
        (
            ".", ("init", "t", "--base", "saves/math-lora"), 2,
            "is an adapter; expected the model that it was trained on", "additive adopt",
        ),
        ("team", ("adopt", "../saves/math-lroa", "--as", "math"), 2, "'math-lora'", "folder"),
        ("team", (*ADOPT, "Math"), 2, "name is 'Math'; expected a name", "such as math;"),
        ("team", (*ADOPT, "math+v2"), 2, "name is 'math+v2';", "such as math-v2;"),
        (
            "team", (*ADOPT, "math", "--suite", "../math_held_out.jsonl"), 2,
            "file is missing; did you mean 'math_heldout.jsonl'?", "one object on each line",
        ),
        ("team", (*ADOPT, "math", "--suite", "../array.json"), 2, "row is a list", "on each line"),
        ("team", (*ADOPT, "math", "--suite", "../pretty.json"), 2, "is not JSON", "on each line"),
        ("team", (*ADOPT, "math", "--suite", "../empty.jsonl"), 2, "has no rows", "on each line"),
        ("team", (*ADOPT, "math", "--suite", ".."), 2, "is a directory; expected", "on each line"),
        ("team", ("adopt", "../saves/pointer", "--as", "x"), 3, "git-lfs pointer", "lfs pull"),
        ("team", ("adopt", "../saves/cut", "--as", "x"), 3, "tensors end at byte", "download it"),
        ("team", ("adopt", "../saves/sharded", "--as", "x"), 3, "but model-00", "index is missing"),
        ("team", ("adopt", "../saves/half", "--as", "x"), 3, "not strict JSON", "download it"),
        (
            "team", ("merge", "../saves/math-lora", "--no-check"), 2, "reference is '../saves/math",
            "additive adopt ../saves/math-lora --as NAME",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_mends_it(saves, capsys, where, command, code, said, help):
    before = _tree(saves)
    done = run_here(capsys, saves / where, *command)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert help in done.err.partition("help:")[2]
    assert _tree(saves) == before
