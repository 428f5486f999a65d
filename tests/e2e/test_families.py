"""Llama-, Qwen-, Gemma-, GPT-2-, Mixtral- and Mamba-like bases: train, freeze, merge, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.e2e.bases import ALL_FAMILIES, build_base
from tests.e2e.command import run_here
from tests.e2e.micro import write_workspace

PROMPTS = ("3+4=", "upper('ab')", "help 3", "hurt 5")
ROUNDING = 2e-5


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_family_trains_freezes_merges_and_loads(family, tmp_path, capsys):
    base = build_base(family, tmp_path / "base")
    # PEFT refuses to adapt all of a state-space model's linear layers.
    targets = ("in_proj", "x_proj") if family == "mamba" else ()
    root = write_workspace(tmp_path / "work", base, items=4, targets=targets)
    trained = run_here(capsys, root, "train", "math", "code", "--json")
    assert trained.code == 0, trained.err
    adapters = [Path(domain["path"]) for domain in trained.json["domains"]]
    sums = ("--method", "task_arithmetic", "--scale", "1", "--no-check")
    merged = run_here(capsys, root, "merge", "math", "code", *sums, "--json")
    assert merged.code == 0, merged.err
    whole = logits(Path(merged.json["path"]))
    added = logits(base, adapters)
    assert (whole - added).abs().max() <= ROUNDING * added.abs().max()
    assert (added - logits(base)).abs().max() > 100 * ROUNDING * added.abs().max()


def logits(directory: Path, adapters: list[Path] | None = None) -> torch.Tensor:
    """What plain transformers and PEFT answer: [prompts, vocabulary], at the last token."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
    if adapters:
        model = with_adapters(model, adapters)
    rows = []
    for prompt in PROMPTS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad():
            rows.append(model.eval()(input_ids=ids["input_ids"]).logits[0, -1].float())
    return torch.stack(rows)


def with_adapters(model: Any, adapters: list[Path]) -> Any:
    """The base with all adapters active at once: PEFT adds their products on the fly."""
    from peft import PeftModel

    names = [f"a{number}" for number in range(len(adapters))]
    attached = PeftModel.from_pretrained(model, str(adapters[0]), adapter_name=names[0])
    for name, directory in zip(names[1:], adapters[1:], strict=True):
        attached.load_adapter(str(directory), adapter_name=name)
    attached.base_model.set_adapter(names)
    return attached
