"""A full fine-tune and LoRAs of one base go through train, merge, check as one merge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.e2e.bases import build_base
from tests.e2e.command import run_here
from tests.e2e.micro import DOMAINS, write_workspace

VERDICTS = {"pass", "fail", "cannot tell"}
COUNTED = ("n", "base", "specialist", "merged", "difference", "interval", "verdict", "b10", "b01")


def test_a_full_fine_tune_and_loras_merge_and_are_checked(tmp_path, capsys):
    base = build_base("qwen", tmp_path / "base")
    root = write_workspace(tmp_path / "work", base, kinds={"math": "full"}, items=8)
    trained = run_here(capsys, root, "train", *DOMAINS, "--json")
    assert trained.code == 0, trained.err
    merged = run_here(capsys, root, "merge", *DOMAINS, "--scale", "1", "--json")
    assert merged.code in (0, 1), merged.err
    assert (merged.code == 0) == (merged.json["verdict"] == "pass")

    paths = {domain["name"]: Path(domain["path"]) for domain in trained.json["domains"]}
    assert (paths["math"] / "model.safetensors").exists()
    assert (paths["code"] / "adapter_model.safetensors").exists()
    deltas_add_up(base, paths, Path(merged.json["path"]))

    checked = run_here(capsys, root, "check", merged.json["name"], "--json")
    assert checked.json["verdict"] in VERDICTS
    suites = checked.json["suites"]
    assert {suite["domain"] for suite in suites} == set(DOMAINS)
    assert all(suite["verdict"] in VERDICTS and suite["n"] > 0 for suite in suites)
    the_gate_alone_says_the_same(capsys, root, checked.json)


def the_gate_alone_says_the_same(capsys, root: Path, check: dict[str, Any]) -> None:
    """From the files of `--results`, suite by suite, without the workspace."""
    again = run_here(capsys, root, "check", check["name"], "--results", "results", "--json")
    assert again.json == {**check, "results": str(root / "results")}
    for line in check["suites"]:
        models = ("base", line["domain"], check["name"])
        base, specialist, merged = (f"results/{name}/{line['suite']}.json" for name in models)
        wrote = [read_model(root / path) for path in (base, specialist, merged)]
        assert wrote[1:] == list(models[1:]), "scores may be the same, so the models are looked at"
        assert wrote[0] not in wrote[1:]
        rule = ("--margin", str(line["margin"]), "--base", base)
        judged = run_here(capsys, root, "gate", specialist, merged, *rule, "--json")
        (found,) = judged.json["suites"]
        assert {key: found[key] for key in COUNTED} == {key: line[key] for key in COUNTED}


def read_model(path: Path) -> str:
    """Which model a file of results says it is of, without its digest."""
    return json.loads(path.read_text())["model"].rpartition("@")[0]


def deltas_add_up(base: Path, paths: dict[str, Path], merged: Path) -> None:
    """The merge is base + (full − base) + Σ s·B·A, at a weight that all three have changed."""
    name = "model.layers.0.mlp.up_proj.weight"
    start = load_file(base / "model.safetensors")[name]
    total = load_file(paths["math"] / "model.safetensors")[name] - start
    for domain in ("code", "safety"):
        total = total + product(paths[domain], name)
    found = load_file(merged / "model.safetensors")[name] - start
    assert total.abs().max() > 1e-3
    torch.testing.assert_close(found, total, rtol=1e-4, atol=1e-6)


def product(adapter: Path, parameter: str) -> torch.Tensor:
    """s·B·A of one weight, with s = alpha / rank = 2 as the specs say."""
    factors = load_file(adapter / "adapter_model.safetensors")
    stem = f"base_model.model.{parameter.removesuffix('.weight')}"
    return 2.0 * factors[f"{stem}.lora_B.weight"] @ factors[f"{stem}.lora_A.weight"]
