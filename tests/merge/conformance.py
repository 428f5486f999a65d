"""Small random checkpoints, a grid of mergekit files over them, and both programs run on each."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from additive.merge.mergekit.engine import execute_kit
from additive.merge.mergekit.plan import KitPlan, KitRecipe, plan_kit
from additive.spec.loader import from_node
from additive.spec.mergekit import MergekitSpec
from additive.spec.yaml import Located, parse_yaml
from tests.deltas import tiny
from tests.e2e.bases import byte_tokenizer
from tests.merge import files
from tests.merge.making import source

MODELS = "models: [{{model: {a}}}, {{model: {b}}}, {{model: {base}+{lora}}}]"
GRADIENT = "[0.1, 0.9, 0.4]"
FILTERED = "[{{filter: self_attn, value: [0.2, 0.8]}}, {{filter: mlp, value: 0.3}}, {{value: 0.5}}]"
EXACT = {
    "linear": f"merge_method: linear\n{MODELS}\nparameters: {{{{weight: 0.7}}}}",
    "linear, not normalised": f"""merge_method: linear
models:
  - {{{{model: {{a}}, parameters: {{{{weight: {GRADIENT}}}}}}}}}
  - {{{{model: {{base}}+{{lora}}, parameters: {{{{weight: 0.3}}}}}}}}
parameters: {{{{normalize: false}}}}""",
    "linear with a base": f"""merge_method: linear
base_model: {{base}}
models:
  - {{{{model: {{base}}, parameters: {{{{weight: 0.2}}}}}}}}
  - {{{{model: {{a}}, parameters: {{{{weight: {FILTERED}}}}}}}}}""",
    "task_arithmetic": f"""merge_method: task_arithmetic
base_model: {{base}}
models:
  - {{{{model: {{a}}, parameters: {{{{weight: {GRADIENT}}}}}}}}}
  - {{{{model: {{b}}, parameters: {{{{weight: {FILTERED}}}}}}}}}
  - {{{{model: {{base}}+{{lora}}, parameters: {{{{weight: -0.5}}}}}}}}
parameters: {{{{lambda: 0.8, normalize: true}}}}""",
    "ties": f"""merge_method: ties
base_model: {{base}}
{MODELS}
parameters: {{{{weight: 1.0, density: {FILTERED}}}}}""",
    "ties, count of signs": f"""merge_method: ties
base_model: {{base}}
{MODELS}
parameters: {{{{weight: 0.5, density: 0.2, normalize: false, int8_mask: true, lambda: 1.3}}}}""",
    "breadcrumbs": f"""merge_method: breadcrumbs
base_model: {{base}}
{MODELS}
parameters: {{{{weight: 0.5, density: 0.6, gamma: 0.05}}}}""",
    "breadcrumbs_ties": f"""merge_method: breadcrumbs_ties
base_model: {{base}}
{MODELS}
parameters: {{{{weight: 0.5, density: [0.4, 0.9], gamma: 0.02}}}}""",
    "sce": (
        f"merge_method: sce\nbase_model: {{base}}\n{MODELS}\nparameters: {{{{select_topk: 0.3}}}}"
    ),
    "model_stock": f"merge_method: model_stock\nbase_model: {{base}}\n{MODELS}",
    "model_stock by rows": f"""merge_method: model_stock
base_model: {{base}}
{MODELS}
parameters: {{{{filter_wise: true}}}}""",
    "slerp": f"""merge_method: slerp
base_model: {{base}}
models: [{{{{model: {{a}}}}}}]
parameters: {{{{t: {FILTERED}}}}}""",
    "slerp of two fine-tunes": f"""merge_method: slerp
base_model: {{base}}
slices:
  - sources:
      - {{{{model: {{base}}, layer_range: [0, 4]}}}}
      - {{{{model: {{base}}+{{lora}}, layer_range: [0, 4]}}}}
parameters: {{{{t: {GRADIENT}}}}}""",
    "nuslerp": """merge_method: nuslerp
models:
  - {{model: {a}, parameters: {{weight: 0.7}}}}
  - {{model: {b}, parameters: {{weight: 0.3}}}}""",
    "nuslerp of task vectors": """merge_method: nuslerp
base_model: {base}
models:
  - {{model: {a}, parameters: {{weight: 0.7}}}}
  - {{model: {b}, parameters: {{weight: 0.3}}}}
parameters: {{nuslerp_row_wise: true, nuslerp_flatten: false}}""",
    "multislerp": f"""merge_method: multislerp
{MODELS}
parameters: {{{{weight: 0.5}}}}""",
    "multislerp with a base": f"""merge_method: multislerp
base_model: {{base}}
{MODELS}
parameters: {{{{weight: {GRADIENT}}}}}""",
    "karcher": f"merge_method: karcher\n{MODELS}\nparameters: {{{{max_iter: 5}}}}",
    "nearswap": """merge_method: nearswap
base_model: {base}
models: [{{model: {a}}}]
parameters: {{t: 0.01}}""",
    "ram": f"merge_method: ram\nbase_model: {{base}}\n{MODELS}",
    "ramplus_tl": f"merge_method: ramplus_tl\nbase_model: {{base}}\n{MODELS}",
    "passthrough": "merge_method: passthrough\nmodels: [{{model: {base}+{lora}}}]",
    "passthrough, stacked layers": """merge_method: passthrough
slices:
  - sources: [{{model: {a}, layer_range: [0, 3]}}]
  - sources: [{{model: {b}, layer_range: [1, 4], parameters: {{scale: 0.5}}}}]
  - sources: [{{model: {base}, layer_range: [3, 4]}}]""",
    "linear of slices": f"""merge_method: linear
slices:
  - sources:
      - {{{{model: {{a}}, layer_range: [0, 2], parameters: {{{{weight: 0.3}}}}}}}}
      - {{{{model: {{b}}, layer_range: [2, 4], parameters: {{{{weight: {GRADIENT}}}}}}}}}
  - sources:
      - {{{{model: {{base}}+{{lora}}, layer_range: [2, 4], parameters: {{{{weight: 1}}}}}}}}
    parameters: {{{{normalize: false}}}}""",
    "a slice of one layer": f"""merge_method: linear
slices:
  - sources:
      - {{{{model: {{a}}, layer_range: [1, 2], parameters: {{{{weight: {GRADIENT}}}}}}}}}
      - {{{{model: {{b}}, layer_range: [3, 4], parameters: {{{{weight: 0.7}}}}}}}}
  - sources: [{{{{model: {{base}}, layer_range: [1, 4], parameters: {{{{weight: 1}}}}}}}}]""",
    "scaled modules": """merge_method: passthrough
slices:
  - sources:
      - model: {a}
        layer_range: [0, 4]
        parameters:
          scale:
            - {{filter: o_proj, value: 0.0}}
            - {{filter: down_proj, value: [0.0, 1.0]}}
            - {{value: 1.0}}""",
}
RANDOM = {
    name: f"merge_method: {name}\nbase_model: {{base}}\n{MODELS}\nparameters: {{{{{values}}}}}"
    for name, values in {
        "dare_linear": "weight: 0.5, density: 0.4",
        "dare_ties": "weight: 0.5, density: 0.4",
        "della": "weight: 0.5, density: 0.5, epsilon: 0.3",
        "della_linear": "weight: 0.5, density: 0.5, epsilon: 0.3, lambda: 1.2",
        "arcee_fusion": "",
    }.items()
}
RANDOM["arcee_fusion"] = """merge_method: arcee_fusion
base_model: {base}
models: [{{model: {a}}}]"""


@dataclass(frozen=True)
class Zoo:
    """A base, two full fine-tunes and an adapter of it, by the names that the files use."""

    root: Path
    places: dict[str, Path]

    def text(self, template: str) -> str:
        """A file of the grid with this zoo's paths."""
        return template.format(**self.places)


def make_zoo(root: Path, family: str = "llama", tied: bool = False) -> Zoo:
    """Build the models; four layers, so that gradients and slices have something to do."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    base = root / "base"
    _model(family, tied, len(tokenizer)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    places = {"base": base}
    for seed, name in enumerate("ab", start=1):
        places[name] = tiny.save_fine_tune(root / name, base, seed=seed)
        tokenizer.save_pretrained(places[name])
    targets = ["c_attn", "c_fc"] if family == "gpt2" else ["q_proj", "down_proj", "up_proj"]
    places["lora"] = tiny.save_adapter(
        root / "lora", base, seed=3, size=0.1, r=4, lora_alpha=8, target_modules=targets
    )
    return Zoo(root, places)


def _model(family: str, tied: bool, vocabulary: int) -> torch.nn.Module:
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=4, n_head=4, vocab_size=vocabulary, n_positions=64)
        )
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config)


def read_kit(zoo: Zoo, text: str, seed: int = 0) -> KitRecipe:
    """A mergekit file with the zoo's models as its sources."""
    root = parse_yaml(text, "merge.yaml")
    spec = from_node(root, MergekitSpec)
    found = {str(zoo.places["base"]): None}
    for name in ("a", "b"):
        found[str(zoo.places[name])] = source(zoo.places[name])
    found[f"{zoo.places['base']}+{zoo.places['lora']}"] = source(zoo.places["lora"])
    models = {name: found[name] for name, _ in spec.mentions()}
    return KitRecipe(spec, Located(root), models, seed=seed)


def by_ours(zoo: Zoo, text: str, out: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Our result."""
    out.mkdir(parents=True)
    execute_kit(planned(zoo, text, seed), out)
    return files.read(out)


def planned(zoo: Zoo, text: str, seed: int = 0) -> KitPlan:
    """Our plan."""
    return plan_kit(read_kit(zoo, text, seed), zoo.places["base"])


def by_mergekit(zoo: Zoo, text: str, out: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """mergekit's result; adapters are merged by it into full models first."""
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    logging.getLogger("mergekit").setLevel(logging.ERROR)
    options = MergeOptions(
        lora_merge_cache=str(zoo.root / "cache"),
        random_seed=seed,
        quiet=True,
        write_model_card=False,
        copy_tokenizer=False,
    )
    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    run_merge(config, str(out), options)
    return files.read(out)


def distance(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """The largest absolute difference of two checkpoints; infinite for other names or shapes."""
    if {n: t.shape for n, t in found.items()} != {n: t.shape for n, t in wanted.items()}:
        return math.inf
    return max((found[n].double() - wanted[n].double()).abs().max().item() for n in wanted)
