"""Two stores are compared by their bytes, and the digest is the package's own."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from additive.tensors.reader import leaves_of, open_checkpoint
from additive.types.digests import weights_digest as package_digest
from tools import compare_weights
from tools.compare_weights import main, weights_digest


def tensors(seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        "model.b": torch.randn(3, 5, generator=random).bfloat16(),
        "model.a": torch.randn((), generator=random),
        "model.none": torch.zeros(0, 4),
    }


def artifact(workspace: Path, name: str, seed=0, snapshot=None, **fields):
    digest = f"{name}-{seed}"
    root = workspace / ".additive" / "store" / "artifacts" / name / digest
    root.mkdir(parents=True)
    save_file(tensors(seed), root / "model.safetensors")
    if snapshot is not None:
        (root / "snapshots" / "0.5").mkdir(parents=True)
        save_file(tensors(snapshot), root / "snapshots" / "0.5" / "adapter_model.safetensors")
    (root / "manifest.json").write_text(json.dumps({"name": name, "kind": "specialist", **fields}))
    return root


def test_the_digest_is_the_packages(tmp_path):
    save_file(tensors(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    with open_checkpoint(tmp_path, "model") as checkpoint:
        assert weights_digest(tmp_path) == package_digest(leaves_of(checkpoint))


def test_shards_do_not_change_it(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    save_file(tensors(), tmp_path / "one" / "model.safetensors")
    for number, (name, tensor) in enumerate(tensors().items()):
        save_file({name: tensor}, tmp_path / "two" / f"model-{number}.safetensors")
    assert weights_digest(tmp_path / "one") == weights_digest(tmp_path / "two")


def test_equal_workspaces_are_the_same(tmp_path, capsys):
    for side in ("old", "new"):
        root = artifact(tmp_path / side, "math", snapshot=3)
        artifact(tmp_path / side, "math+code", seed=2, weights=weights_digest_of(2, tmp_path))
    assert main([str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert out.count("same") == 4  # math, math#0.5, math+code, and the last line
    assert weights_digest(root)[:16] in out


def weights_digest_of(seed, scratch):
    folder = scratch / f"scratch-{seed}"
    folder.mkdir(exist_ok=True)
    save_file(tensors(seed), folder / "model.safetensors")
    return weights_digest(folder)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"seed": 1}, "DIFFERENT"),
        ({"snapshot": 4}, "DIFFERENT"),
        ({"snapshot": None}, "only in old"),
        ({"weights": "0" * 64}, "manifest states another digest"),
    ],
)
def test_any_difference_is_exit_1(tmp_path, capsys, change, verdict):
    artifact(tmp_path / "old", "math", snapshot=3)
    artifact(tmp_path / "new", "math", **({"snapshot": 3} | change))
    assert main([str(tmp_path / "old"), str(tmp_path / "new"), "--json"]) == 1
    verdicts = [row["verdict"] for row in json.loads(capsys.readouterr().out)]
    assert sorted(verdicts) == sorted([verdict, "same"])


def test_versions_of_one_name_are_compared_in_any_order(tmp_path):
    for side, seeds in (("old", (1, 2)), ("new", (2, 1))):
        for place, seed in enumerate(seeds):
            artifact(tmp_path / side, "math", seed=seed).rename(
                tmp_path / side / ".additive/store/artifacts/math" / str(place)
            )
    assert main([str(tmp_path / "old"), str(tmp_path / "new")]) == 0


def test_what_cannot_be_read_is_exit_2(tmp_path, capsys):
    root = artifact(tmp_path / "old", "math")
    assert main([str(tmp_path / "old"), str(tmp_path)]) == 2
    assert "holds no artifact" in capsys.readouterr().err
    (root / "model.safetensors").write_bytes(b"\xff" * 20)
    assert main([str(tmp_path / "old"), str(tmp_path / "old")]) == 2
    assert "is not a safetensors file" in capsys.readouterr().err
    (root / "manifest.json").write_text("[]")
    assert main([str(tmp_path / "old"), str(tmp_path / "old")]) == 2
    assert "is not a manifest" in capsys.readouterr().err


def test_nothing_of_the_package_is_imported():
    source = ast.parse(Path(compare_weights.__file__).read_text())
    names = {
        alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {node.module or "" for node in ast.walk(source) if isinstance(node, ast.ImportFrom)}
    assert not any(name.partition(".")[0] in ("additive", "torch", "safetensors") for name in names)
