"""Synthetic models of real shapes, and the anonymous memory of this process."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from additive.tensors.writer import LayoutWriter, write_file

# hidden, layers, intermediate, key-value width, vocabulary, tied
SHAPES = {
    "tiny": (64, 2, 128, 64, 1000, True),
    "135m": (576, 30, 1536, 192, 49152, True),
    "640mb": (1024, 24, 4096, 256, 16000, False),
    "1b": (2048, 22, 5632, 256, 32000, False),
    "7b": (4096, 32, 11008, 4096, 32000, False),
}


def layout(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a Llama-shaped model."""
    hidden, layers, inner, kv, vocabulary, tied = SHAPES[shape]
    found: list[tuple[str, tuple[int, ...]]] = [("model.embed_tokens.weight", (vocabulary, hidden))]
    for layer in range(layers):
        stem = f"model.layers.{layer}"
        found += [
            (f"{stem}.input_layernorm.weight", (hidden,)),
            (f"{stem}.self_attn.q_proj.weight", (hidden, hidden)),
            (f"{stem}.self_attn.k_proj.weight", (kv, hidden)),
            (f"{stem}.self_attn.v_proj.weight", (kv, hidden)),
            (f"{stem}.self_attn.o_proj.weight", (hidden, hidden)),
            (f"{stem}.post_attention_layernorm.weight", (hidden,)),
            (f"{stem}.mlp.gate_proj.weight", (inner, hidden)),
            (f"{stem}.mlp.up_proj.weight", (inner, hidden)),
            (f"{stem}.mlp.down_proj.weight", (hidden, inner)),
        ]
    found.append(("model.norm.weight", (hidden,)))
    return found if tied else [*found, ("lm_head.weight", (vocabulary, hidden))]


def config_of(shape: str) -> dict[str, object]:
    """config.json of a Llama of this shape, as transformers reads it."""
    hidden, layers, inner, kv, vocabulary, tied = SHAPES[shape]
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": hidden // 64,
        "num_key_value_heads": kv // 64,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }


def write_random_model(directory: Path, shape: str, seed: int, size: float = 0.02) -> Path:
    """bfloat16 weights, written tensor by tensor; `size` 0 leaves holes, which read as zeros."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config_of(shape)))
    generator = torch.Generator().manual_seed(seed)
    entries = [(name, "BF16", dims) for name, dims in layout(shape)]
    with LayoutWriter(directory / "model.safetensors", entries, {"format": "pt"}) as writer:
        for name, dims in layout(shape):
            tensor = torch.zeros(dims, dtype=torch.bfloat16)
            if size:
                tensor = torch.empty(dims).normal_(std=size, generator=generator).bfloat16()
            writer.write(name, 0, tensor)
    return directory


def write_random_lora(directory: Path, shape: str, seed: int, rank: int = 16) -> Path:
    """A bfloat16 LoRA of every linear projection."""
    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, dims in layout(shape):
        if "_proj" in name:
            module = f"base_model.model.{name.removesuffix('.weight')}"
            for part, size in (("A", (rank, dims[1])), ("B", (dims[0], rank))):
                drawn = torch.empty(size).normal_(std=0.02, generator=generator)
                tensors[f"{module}.lora_{part}.weight"] = drawn.bfloat16()
    write_file(directory / "adapter_model.safetensors", tensors)
    targets = sorted({name.split(".")[-2] for name, _ in layout(shape) if "_proj" in name})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": targets,
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


def anonymous_bytes() -> int:
    """RssAnon of this process: memory that is not a file's pages."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def peak_while(work: Callable[[], object]) -> int:
    """How far anonymous memory rose above its beginning while `work` ran, in bytes."""
    start = peak = anonymous_bytes()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.003):
            peak = max(peak, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return peak - start
