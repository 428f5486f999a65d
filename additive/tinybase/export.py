"""Writes the base as transformers loads it: bf16 weights, config, tokenizer, template."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer

from additive.tinybase.model import Shape, Weights, transformers_names
from additive.tinybase.tokenizer import END, PAD, save_tokenizer


def config_of(shape: Shape, tokenizer: Tokenizer) -> dict[str, object]:
    """Return the Llama configuration of the base."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.theta,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }


def export(weights: Weights, shape: Shape, tokenizer: Tokenizer, directory: Path) -> None:
    """Write the whole base directory."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {k: w.detach().contiguous() for k, w in transformers_names(weights).items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    config = config_of(shape, tokenizer)
    generation = {k: config[k] for k in ("eos_token_id", "pad_token_id")} | {"do_sample": False}
    for name, content in (("config", config), ("generation_config", generation)):
        (directory / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    save_tokenizer(tokenizer, directory)
