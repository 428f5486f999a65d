"""Small random bases of six families, as directories that transformers loads.

    llama   grouped heads, untied
    qwen    Qwen3: norms on queries and keys, tied
    gemma   Gemma 3: scaled embeddings, (1 + w) norms, sliding windows, tied
    gpt2    Conv1D weights (stored [in, out]), biases, learned positions, tied
    mixtral four experts, apart in the files and stacked in the model; a router
    mamba   no attention: a state-space model, tied

The tokenizer is one token per byte with a chat template, so that nothing has to be trained or
fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

FAMILIES = ("llama", "qwen", "gemma", "gpt2")
ALL_FAMILIES = (*FAMILIES, "mixtral", "mamba")
CONTEXT = 192
_SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}<|end|>"
    "{% else %}<|{{ message['role'] }}|>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_base(family: str, directory: Path, *, seed: int = 0) -> Path:
    """Write a random base of a family with its tokenizer; two seeds give two bases of one shape."""
    import torch

    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    model = _CONFIGS[family](len(tokenizer))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def byte_tokenizer() -> Any:
    """A transformers tokenizer with 256 bytes and five special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*_SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_SPECIAL[0],
        eos_token=_SPECIAL[1],
        additional_special_tokens=list(_SPECIAL[2:]),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = _TEMPLATE
    return fast


_COMMON: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "initializer_range": 0.1}


def _shape(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
        **_COMMON,
        "bos_token_id": None,
    }


def _llama(vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_shape(vocabulary), tie_word_embeddings=False))


def _qwen(vocabulary: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**_shape(vocabulary), tie_word_embeddings=True))


def _gemma(vocabulary: int) -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    windows = {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]}
    return Gemma3ForCausalLM(Gemma3TextConfig(**_shape(vocabulary), **windows))


def _gpt2(vocabulary: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_inner=48,
        bos_token_id=1,
        **_COMMON,
    )
    return GPT2LMHeadModel(config)


def _mixtral(vocabulary: int) -> Any:
    from transformers import MixtralConfig, MixtralForCausalLM

    experts: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
    return MixtralForCausalLM(MixtralConfig(**_shape(vocabulary), **experts))


def _mamba(vocabulary: int) -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        state_size=8,
        num_hidden_layers=2,
        bos_token_id=1,
        **_COMMON,
    )
    return MambaForCausalLM(config)


_CONFIGS: dict[str, Callable[[int], Any]] = {
    "llama": _llama,
    "qwen": _qwen,
    "gemma": _gemma,
    "gpt2": _gpt2,
    "mixtral": _mixtral,
    "mamba": _mamba,
}
