"""Small checkpoints and adapters as files, without transformers: names and shapes of a two-layer
model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (80, 24),
    "model.layers.0.self_attn.q_proj.weight": (24, 24),
    "model.layers.0.self_attn.q_proj.bias": (24,),
    "model.layers.0.mlp.up_proj.weight": (700, 24),
    "model.layers.0.mlp.down_proj.weight": (24, 700),
    "model.layers.1.self_attn.q_proj.weight": (24, 24),
    "model.layers.1.mlp.experts.weight": (3, 40, 24),
    "model.norm.weight": (24,),
    "lm_head.weight": (80, 24),
}
ADAPTED = (
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.mlp.up_proj",
    "model.layers.0.mlp.down_proj",
    "model.layers.1.self_attn.q_proj",
)
CONFIG = {"model_type": "llama", "vocab_size": 80, "hidden_size": 24, "tie_word_embeddings": False}


def values(seed: int, shapes: Mapping[str, tuple[int, ...]] = SHAPES, size: float = 0.02):
    """Random float32 tensors, one generator per name, so that a tensor depends on seed and name
    alone.
    """
    made = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        generator = torch.Generator().manual_seed(seed * 1000 + number)
        made[name] = torch.randn(shape, generator=generator) * size
    return made


def write_model(
    directory: Path, tensors: Mapping[str, torch.Tensor], shards: int = 1, **config
) -> Path:
    """A checkpoint of these tensors in one file or in several with an index."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG | config))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    names = list(tensors)
    if shards == 1:
        save_file(dict(tensors), directory / "model.safetensors", {"format": "pt"})
        return directory
    places = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, directory / file, {"format": "pt"})
        places |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def write_base(
    directory: Path, dtype: torch.dtype = torch.float32, shards: int = 1, seed: int = 0
) -> Path:
    """The base."""
    return write_model(directory, {n: t.to(dtype) for n, t in values(seed).items()}, shards)


def write_fine_tune(
    directory: Path,
    base: Path,
    seed: int,
    dtype: torch.dtype = torch.float32,
    size: float = 0.01,
    shards: int = 1,
) -> Path:
    """A full fine-tune of the base: all its tensors moved."""
    moved = values(seed, size=size)
    tensors = {
        name: (tensor.float() + moved[name]).to(dtype) for name, tensor in read(base).items()
    }
    return write_model(directory, tensors, shards)


def write_lora(
    directory: Path, seed: int, rank: int = 4, size: float = 0.1, modules=ADAPTED, **config
) -> Path:
    """A LoRA adapter of these modules."""
    directory.mkdir(parents=True, exist_ok=True)
    shapes = {}
    for module in modules:
        out, into = SHAPES[f"{module}.weight"]
        shapes[f"base_model.model.{module}.lora_A.weight"] = (rank, into)
        shapes[f"base_model.model.{module}.lora_B.weight"] = (out, rank)
    save_file(values(seed, shapes, size), directory / "adapter_model.safetensors", {"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": sorted({module.rpartition(".")[2] for module in modules}),
    }
    (directory / "adapter_config.json").write_text(json.dumps(settings | config))
    return directory


def read(directory: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, read by the safetensors library."""
    from safetensors.torch import load_file

    return {k: v for f in sorted(directory.glob("*.safetensors")) for k, v in load_file(f).items()}


def edit(directory: Path, change, file: str = "adapter_model.safetensors") -> None:
    """Rewrite a safetensors file after `change(tensors)` in place."""
    from safetensors.torch import load_file

    tensors = load_file(directory / file)
    change(tensors)
    save_file(tensors, directory / file, {"format": "pt"})


def configure(directory: Path, file: str = "adapter_config.json", **changes) -> Path:
    """Change keys of a directory's config and return the directory."""
    path = directory / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return directory


def read_json(directory: Path | str, file: str = "manifest.json") -> dict:
    """A JSON file of a directory."""
    return json.loads((Path(directory) / file).read_text())
