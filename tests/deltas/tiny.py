"""Tiny real models and adapters, built at test time and saved as their libraries save them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

logging.getLogger("transformers").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="peft")

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 80,
    "max_position_embeddings": 64,
}
_ROUTED = {"num_experts_per_tok": 2}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def build(family: str, seed: int = 0, tied: bool | None = None) -> PreTrainedModel:
    """A random `llama`, `qwen` (biases), `gemma` (tied, head_dim), `gpt2` (Conv1D), `mixtral` and
    `qwen_moe` (experts apart in the file), `gpt_oss` (experts stacked, inputs first) or `mamba`
    (tied, a state-space model).
    """
    torch.manual_seed(seed)
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**_SIZES, tie_word_embeddings=bool(tied)))
    if family == "mixtral":
        return MixtralForCausalLM(MixtralConfig(**_SIZES, **_ROUTED, num_local_experts=4))
    if family == "qwen_moe":
        return Qwen3MoeForCausalLM(
            Qwen3MoeConfig(**_SIZES, **_ROUTED, head_dim=8, moe_intermediate_size=24, num_experts=4)
        )
    if family == "gpt_oss":
        return GptOssForCausalLM(
            GptOssConfig(
                **_SIZES, **_ROUTED, head_dim=8, num_local_experts=4, rope_parameters=_ROPE
            )
        )
    if family == "mamba":
        return MambaForCausalLM(
            MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=80, state_size=8)
        )
    if family == "qwen":
        model = Qwen2ForCausalLM(Qwen2Config(**_SIZES, tie_word_embeddings=bool(tied)))
    elif family == "gemma":
        model = Gemma2ForCausalLM(Gemma2Config(**_SIZES, head_dim=8))
    else:
        model = GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=80, n_positions=64)
        )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(std=0.05)
    return model


def save_base(directory: Path, family: str, dtype=torch.float32, tied=None, seed=0, **how) -> Path:
    """Build and save a base; `how` goes to save_pretrained (max_shard_size)."""
    build(family, seed, tied).to(dtype).save_pretrained(directory, **how)
    return directory


def save_adapter(directory: Path, base: Path, seed: int = 1, size: float = 0.05, **config) -> Path:
    """Save an adapter whose every trained tensor has moved away from its initial value; of IA3
    where the settings name `feedforward_modules`.
    """
    model = load(base)
    torch.manual_seed(seed)
    kind = IA3Config if "feedforward_modules" in config else LoraConfig
    adapted = get_peft_model(model, kind(task_type="CAUSAL_LM", **config))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += size * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return directory


def save_resized(
    directory: Path, base: Path, rows: int, modules: Sequence[str]
) -> tuple[Path, PeftModel]:
    """Save an adapter of a model that was given other rows and saved these modules whole; it, and
    the model as it was trained.
    """
    model = load(base)
    model.resize_token_embeddings(rows, mean_resizing=False)
    torch.manual_seed(2)
    settings = {"target_modules": ["q_proj"], "modules_to_save": list(modules)}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, **settings))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    adapted.save_pretrained(directory)
    return directory, adapted.eval()


def save_fine_tune(directory: Path, base: Path, seed: int = 1, dtype=None, **how) -> Path:
    """Save a full fine-tune: every float moved a little."""
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += (0.02 * torch.randn(parameter.shape)).to(parameter.dtype)
    model.to(dtype or model.dtype).save_pretrained(directory, **how)
    return directory


def load(directory: Path, dtype=torch.float32) -> PreTrainedModel:
    """The model of a directory in float32 (every value of the smaller dtypes is one of float32)."""
    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()


def merged_by_peft(base: Path, adapter: Path) -> PreTrainedModel:
    """PEFT's own merge_and_unload in float32."""
    return PeftModel.from_pretrained(load(base), adapter).merge_and_unload().eval()


def adapted_by_peft(base: Path, adapter: Path) -> PeftModel:
    """The base with the adapter on top, as it was trained."""
    return PeftModel.from_pretrained(load(base), adapter).eval()


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    """The logits of two fixed prompts, float32."""
    tokens = torch.arange(40).reshape(2, 20) % 79
    return model(input_ids=tokens).logits.float()
