"""How far PEFT's weighted adapters are from the sum of the deltas that they are said to be.

    python -m tests.benchmarks.factorwise --out docs/merging.md

Three adapters of one tiny model are merged at weights 1, 1, 1 by PEFT's `add_weighted_adapter` in
every mode and by ours; the delta of each layer is compared in float64 with what the mode is said to
do to the deltas Δᵢ = sᵢBᵢAᵢ: their sum, TIES of them, or the sum of their largest elements. DARE is
compared with the sum, from which it differs by its noise. Relative error is
‖found − reference‖/‖reference‖ over all layers; 0 is exact, 1 is as bad as none.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftModel

from tests.benchmarks.measure import fill, table
from tests.deltas import tiny
from tests.merge.making import merge, recipe, source
from tests.oracles import papers

KINDS = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
}
MODES = ("cat", "svd", "linear", "ties", "ties_svd", "dare_linear", "magnitude_prune")
METHODS = ("task_arithmetic", "ties", "dare_linear")
RANK, DENSITY = 8, 0.2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    warnings.simplefilter("ignore")
    columns: list[dict[str, str]] = []
    for settings in KINDS.values():
        with tempfile.TemporaryDirectory() as name:
            columns.append(_kind(Path(name), settings))
    lines = [[name, *(column[name] for column in columns)] for name in columns[0]]
    text = (
        f"{table(['merged by', *KINDS], lines)}\n\nRelative error of the delta, and its cosine with"
        f" what it should be. Three adapters of rank {RANK}, weights 1, density\n{DENSITY} where a"
        f" mode has one. PEFT {version('peft')}."
    )
    print(text)
    if out:
        fill(out, "factorwise", text)


def _kind(root: Path, settings: dict) -> dict[str, str]:
    base = tiny.save_base(root / "base", "llama")
    config = {
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": ["q_proj", "up_proj", "down_proj"],
        **settings,
    }
    adapters = [
        tiny.save_adapter(root / f"a{i}", base, seed=i + 1, size=0.1, **config) for i in range(3)
    ]
    start = tiny.load(base).state_dict()
    deltas = [_delta(tiny.merged_by_peft(base, adapter), start) for adapter in adapters]
    cells = {}
    for method in METHODS:
        density = {} if method == "task_arithmetic" else {"density": DENSITY}
        made = recipe(*map(source, adapters), method=method, parameters=density)
        merge(root / method, base, made)
        found = _delta(tiny.load(root / method), start)
        cells[f"additive `{method}`"] = _cell(found, _reference(method, deltas))
    for mode in MODES:
        found = _by_peft(base, adapters, mode, start)
        cells[f"PEFT `{mode}`"] = _cell(found, _reference(mode, deltas))
    return cells


def _reference(mode: str, deltas: list[dict]) -> dict[str, torch.Tensor]:
    """What a mode is said to make of the deltas."""
    by_name = {name: [delta[name] for delta in deltas] for name in deltas[0]}
    if mode.startswith("ties"):
        voted = {
            n: papers.ties([d.numpy() for d in found], DENSITY) for n, found in by_name.items()
        }
        return {name: torch.from_numpy(delta) for name, delta in voted.items()}
    if mode == "magnitude_prune":
        by_name = {name: [_largest(delta) for delta in found] for name, found in by_name.items()}
    return {name: torch.stack(found).sum(dim=0) for name, found in by_name.items()}


def _largest(delta: torch.Tensor) -> torch.Tensor:
    least = delta.abs().flatten().topk(int(DENSITY * delta.numel())).values[-1]
    return torch.where(delta.abs() >= least, delta, 0.0)


def _by_peft(base: Path, adapters: list[Path], mode: str, start: dict) -> dict:
    model = PeftModel.from_pretrained(tiny.load(base), adapters[0], adapter_name="s0")
    for number, adapter in enumerate(adapters[1:], start=1):
        model.load_adapter(adapter, adapter_name=f"s{number}")
    names = [f"s{number}" for number in range(len(adapters))]
    density = {"density": DENSITY} if mode.startswith(("ties", "dare", "magnitude")) else {}
    rank = {"svd_rank": 24} if mode.endswith("svd") else {}
    torch.manual_seed(0)
    model.add_weighted_adapter(names, [1.0] * len(names), "all", mode, **density, **rank)
    model.set_adapter("all")
    return _delta(model.merge_and_unload(adapter_names=["all"]), start)


def _delta(model: torch.nn.Module, start: dict) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    return {
        n: state[n].double() - t.double() for n, t in start.items() if n.endswith("_proj.weight")
    }


def _cell(found: dict, reference: dict) -> str:
    error = math.sqrt(sum((found[n] - r).square().sum().item() for n, r in reference.items()))
    size = math.sqrt(sum(r.square().sum().item() for r in reference.values()))
    own = math.sqrt(sum(f.square().sum().item() for f in found.values()))
    dot = sum((found[n] * r).sum().item() for n, r in reference.items())
    return f"{error / size:.2g} ({dot / max(own * size, 1e-30):.2f})"


if __name__ == "__main__":
    main()
