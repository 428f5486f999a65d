"""One merge in a process of its own: ours, mergekit's, PEFT's; JSON in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import costed

Arguments = dict[str, Any]


def ours(given: Arguments) -> dict[str, Any]:
    """additive: base, sources, method, output, out. As in a workspace, the sources were checked for
    NaN when they were frozen and the base was hashed when it was locked.
    """
    from additive.merge.engine import execute
    from additive.merge.plan import plan
    from additive.tensors.reader import leaves_of, open_checkpoint

    base, out = Path(given["base"]), Path(given["out"])
    out.mkdir()
    with open_checkpoint(base) as opened:
        leaves = leaves_of(opened)
    made = _recipe(given)

    def work() -> None:
        execute(plan(made, base), out, base_leaves=leaves)

    if given.get("profile"):
        from tests.benchmarks.stages import profile

        return profile(work, type(made.method))
    with kept_mapped(base) as touched:
        found = costed(work, out=out)
        return {**found, "base_read": touched()}


def _recipe(given: Arguments) -> Any:
    import torch  # noqa: F401

    from tests.merge.making import recipe, source

    return recipe(
        *(replace(source(Path(path)), finite=True) for path in given["sources"]),
        method=given["method"],
        parameters=given.get("parameters"),
        output=given.get("output", "checkpoint"),
        rank=given.get("rank"),
        dtype=given.get("dtype", "auto"),
    )


@contextmanager
def kept_mapped(base: Path) -> Iterator[Callable[[], int]]:
    """How many bytes of the base's weights this process has touched: its mappings are kept, and the
    kernel counts their pages.
    """
    from additive.tensors.reader import Checkpoint

    maps: list[object] = []
    before = Checkpoint._map

    def kept(self: Checkpoint, shard: str) -> Any:
        found = before(self, shard)
        if self.directory == base:
            maps.append(found)
        return found

    Checkpoint._map = kept
    try:
        yield lambda: _touched(base)
    finally:
        Checkpoint._map = before


def _touched(directory: Path) -> int:
    """Resident bytes of this process's mappings of files below a directory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()
        if not head[0].endswith(":"):
            inside = len(head) > 5 and Path(head[5]).parent == directory
        elif inside and head[0] == "Rss:":
            found += int(head[1]) * 1024
    return found


def portfolio(given: Arguments) -> list[dict[str, Any]]:
    """Sources prepared once, then candidates of several methods: a step and its cost each."""
    from additive.merge.candidates import prepare
    from additive.merge.recipe import build_method
    from tests.merge.making import source

    base, cache = Path(given["base"]), Path(given["cache"])
    sources = [replace(source(Path(path)), finite=True) for path in given["sources"]]
    ready: list[Any] = []

    def step(title: str, work: Callable[[], object]) -> dict[str, Any]:
        return {"step": title, **costed(work)}

    def again() -> None:
        ready.append(prepare(base, sources, cache))

    found = [step("prepare", again), step("prepare, kept from before", again)]
    ready.pop(0).close()
    weights = {spec.name: 0.5 + 0.05 * number for number, spec in enumerate(sources)}
    for name in given["methods"]:
        method = build_method(name)
        found.append(step(name, lambda method=method: ready[0].apply(method, weights)))
    return found


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
