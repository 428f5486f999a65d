"""One merge in a process of its own: ours, mergekit's, PEFT's; JSON in and out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import costed

Arguments = dict[str, Any]


def ours(given: Arguments) -> dict[str, Any]:
    """additive: base, sources, method, output, out."""
    import torch  # noqa: F401

    from additive.merge.engine import execute
    from additive.merge.plan import plan
    from tests.merge.making import recipe, source

    sources = [source(Path(path)) for path in given["sources"]]
    out = Path(given["out"])
    out.mkdir()
    made = recipe(
        *sources,
        method=given["method"],
        parameters=given.get("parameters"),
        output=given.get("output", "checkpoint"),
        rank=given.get("rank"),
        dtype=given.get("dtype", "auto"),
    )
    return costed(lambda: execute(plan(made, Path(given["base"])), out), out=out)


def mergekit(given: Arguments) -> dict[str, Any]:
    """mergekit: config (a mapping), out, cache of merged adapters."""
    import peft  # noqa: F401
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    from transformers import LlamaForCausalLM  # noqa: F401

    logging.disable(logging.WARNING)
    cache = Path(given["cache"])
    options = MergeOptions(
        lora_merge_cache=str(cache),
        lora_merge_dtype=given.get("lora_dtype"),
        copy_tokenizer=False,
        write_model_card=False,
        quiet=True,
    )
    config = MergeConfiguration.model_validate(given["config"])
    out = Path(given["out"])
    return costed(lambda: run_merge(config, str(out), options), temporary=cache, out=out)


def peft(given: Arguments) -> dict[str, Any]:
    """PEFT: base, sources, combination, settings, out; the merged model is written."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401

    out = Path(given["out"])

    def work() -> None:
        model = AutoModelForCausalLM.from_pretrained(given["base"], dtype=given["dtype"])
        model = PeftModel.from_pretrained(model, given["sources"][0], adapter_name="s0")
        for number, path in enumerate(given["sources"][1:], start=1):
            model.load_adapter(path, adapter_name=f"s{number}")
        names = [f"s{number}" for number in range(len(given["sources"]))]
        torch.manual_seed(0)
        model.add_weighted_adapter(
            names, given["weights"], "all", given["combination"], **given["settings"]
        )
        model.set_adapter("all")
        model.merge_and_unload(adapter_names=["all"]).save_pretrained(out)

    return costed(work, out=out)
