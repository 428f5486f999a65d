"""A lean Llama forward pass over packed rows; its weights are exported to transformers as they are.

Rows of one pack are kept apart by a block-diagonal causal mask. Positions run through the pack:
rotary attention only sees differences of positions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from tools.tinybase.tokenizer import END, PAD, save_tokenizer

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """The architecture of the tiny base."""

    vocabulary: int = 1280
    hidden: int = 256
    inner: int = 512
    layers: int = 5
    heads: int = 8
    context: int = 256
    theta: float = 10000.0
    epsilon: float = 1e-5


def initial(shape: Shape, seed: int) -> Weights:
    """Return fp32 master weights; residual outputs start smaller, as in GPT-2."""
    generator = torch.Generator().manual_seed(seed)
    h, n = shape.hidden, shape.inner

    def normal(*size: int, scale: float = 0.02) -> Tensor:
        return torch.randn(*size, generator=generator) * scale

    out = 0.02 / (2 * shape.layers) ** 0.5
    weights: Weights = {"embed": normal(shape.vocabulary, h), "norm": torch.ones(h)}
    for i in range(shape.layers):
        weights |= {
            f"{i}.q": normal(h, h), f"{i}.k": normal(h, h), f"{i}.v": normal(h, h),
            f"{i}.o": normal(h, h, scale=out),
            f"{i}.gate": normal(n, h), f"{i}.up": normal(n, h),
            f"{i}.down": normal(h, n, scale=out),
            f"{i}.norm1": torch.ones(h), f"{i}.norm2": torch.ones(h),
        }  # fmt: skip
    return weights


def _normed(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(x.dtype)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)


def rotary(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin of the rotary angles, each [length, head size / 2]."""
    half = shape.hidden // shape.heads // 2
    frequency = shape.theta ** -(torch.arange(half) / half)
    angle = torch.arange(length)[:, None] * frequency
    return angle.cos(), angle.sin()


def loss_of(
    master: Weights, ids: Tensor, rows: Tensor, where: Tensor, wanted: Tensor, counted: Tensor,
    shape: Shape, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Return the mean cross entropy at the flat positions ``where`` of the packs ``ids`` [B, T].

    ``rows`` numbers the rows of each pack (0 is padding); ``counted`` is 0 where ``where`` pads.
    """
    weights = {name: w.to(dtype) if w.dim() > 1 else w for name, w in master.items()}
    batch, length = ids.shape
    heads = shape.heads
    cos, sin = rotary(shape, length)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    allowed = (rows[:, :, None] == rows[:, None, :]) & causal
    mask = torch.where(allowed, 0.0, -1e9)[:, None]
    x = F.embedding(ids, weights["embed"])
    for i in range(shape.layers):
        a = _normed(x, weights[f"{i}.norm1"], shape.epsilon)
        q, k, v = (
            (a @ weights[f"{i}.{part}"].T).view(batch, length, heads, -1).transpose(1, 2)
            for part in "qkv"
        )
        q, k = _rotated(q, cos, sin), _rotated(k, cos, sin)
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5 + mask
        mixed = scores.softmax(-1).to(dtype) @ v
        x = x + mixed.transpose(1, 2).reshape(batch, length, -1) @ weights[f"{i}.o"].T
        a = _normed(x, weights[f"{i}.norm2"], shape.epsilon)
        inner = F.silu(a @ weights[f"{i}.gate"].T) * (a @ weights[f"{i}.up"].T)
        x = x + inner @ weights[f"{i}.down"].T
    last = _normed(x, weights["norm"], shape.epsilon).view(batch * length, -1)[where]
    losses = F.cross_entropy((last @ weights["embed"].T).float(), wanted, reduction="none")
    return (losses * counted).sum() / counted.sum()


_NAMES = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
    "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj", "norm1": "input_layernorm", "norm2": "post_attention_layernorm",
}  # fmt: skip


def transformers_names(master: Weights) -> Weights:
    """Return the weights under the parameter names of transformers' Llama, in bf16."""
    renamed: Weights = {}
    for name, weight in master.items():
        if name == "embed":
            renamed["model.embed_tokens.weight"] = weight.bfloat16()
        elif name == "norm":
            renamed["model.norm.weight"] = weight.bfloat16()
        else:
            layer, part = name.split(".")
            renamed[f"model.layers.{layer}.{_NAMES[part]}.weight"] = weight.bfloat16()
    return renamed


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
