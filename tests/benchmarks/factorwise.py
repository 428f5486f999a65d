"""How far PEFT's weighted adapters are from the sum of the deltas that they are said to be.

    python tests/benchmarks/factorwise.py

Three adapters of one tiny model are merged at weights 1, 1, 1 by PEFT's `add_weighted_adapter` in
every mode and by ours; the delta of each layer is compared with the float64 reference (Σ sᵢBᵢAᵢ,
or TIES on those). Relative error is ‖found − reference‖/‖reference‖ over all layers; 0 is exact, 1
is as bad as none.
"""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from peft import PeftModel

from tests.deltas import tiny
from tests.merge.making import merge, recipe, source
from tests.oracles import papers

KINDS = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
}
MODES = ("cat", "svd", "linear", "ties", "ties_svd", "dare_linear", "magnitude_prune")
DENSITY = 0.2


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    print(f"{'adapters':8} {'mode':28} {'relative error':>14} {'cosine':>8}")
    for kind, settings in KINDS.items():
        with tempfile.TemporaryDirectory() as name:
            _kind(Path(name), kind, settings)


def _kind(root: Path, kind: str, settings: dict) -> None:
    base = tiny.save_base(root / "base", "llama")
    config = {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "up_proj", "down_proj"],
        **settings,
    }
    adapters = [
        tiny.save_adapter(root / f"a{i}", base, seed=i + 1, size=0.1, **config) for i in range(3)
    ]
    start = tiny.load(base).state_dict()
    deltas = [_delta(tiny.merged_by_peft(base, adapter), start) for adapter in adapters]
    total = {name: sum(delta[name] for delta in deltas) for name in deltas[0]}
    voted = {
        name: torch.from_numpy(papers.ties([delta[name].numpy() for delta in deltas], DENSITY))
        for name in deltas[0]
    }
    for method, reference in (("task_arithmetic", total), ("ties", voted)):
        made = recipe(*map(source, adapters), method=method)
        merge(root / method, base, made)
        _line(kind, f"additive {method}", _delta(tiny.load(root / method), start), reference)
    for mode in MODES:
        found = _by_peft(base, adapters, mode, start)
        if found is not None:
            _line(kind, f"PEFT {mode}", found, voted if mode.startswith("ties") else total)


def _by_peft(base: Path, adapters: list[Path], mode: str, start: dict) -> dict | None:
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


def _line(kind: str, mode: str, found: dict, reference: dict) -> None:
    error = math.sqrt(sum((found[n] - r).square().sum().item() for n, r in reference.items()))
    size = math.sqrt(sum(r.square().sum().item() for r in reference.values()))
    own = math.sqrt(sum(f.square().sum().item() for f in found.values()))
    dot = sum((found[n] * r).sum().item() for n, r in reference.items())
    print(
        f"{kind:8} {mode:28} {error / size:14.2e} {dot / max(own * size, 1e-30):8.3f}", flush=True
    )


if __name__ == "__main__":
    main()
