"""Every kind of adapter that is accepted: base family, base's settings, LoraConfig's settings."""

from __future__ import annotations

PLAIN = {"r": 4, "lora_alpha": 10, "target_modules": ["q_proj", "v_proj", "up_proj"]}
CONV = {"r": 4, "lora_alpha": 10, "target_modules": ["c_attn", "c_proj", "c_fc"]}
SCALES = {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
EXPERTS = {
    "r": 2,
    "lora_alpha": 6,
    "target_modules": [],
    "target_parameters": ["experts.gate_up_proj", "experts.down_proj"],
}

# The kinds that need no family of their own, on a mixture of experts and on a state-space model.
_MIXTURE = {"targets": ["q_proj", "o_proj"], "tokens": "embed_tokens", "whole": ["lm_head", "norm"]}
_STATES = {"targets": ["in_proj", "x_proj"], "tokens": "embeddings", "whole": ["norm_f"]}


def _across(family: str, modules: dict) -> dict[str, tuple[str, dict, dict]]:
    one, other = modules["targets"]
    plain = {"r": 4, "lora_alpha": 10, "target_modules": [one, other]}
    patterns = {"rank_pattern": {other: 2}, "alpha_pattern": {f"layers.1.*{one}": 3}}
    found = {
        "rank stabilisation and patterns": {**plain, "use_rslora": True, **patterns},
        "dora": {**plain, "use_dora": True},
        "one layer": {**plain, "layers_to_transform": [1]},
        "bias of all": {**plain, "bias": "all"},
        "tokens": {**plain, "trainable_token_indices": {modules["tokens"]: [3, 70]}},
        "whole modules": {**plain, "modules_to_save": modules["whole"]},
        "ia3": {"target_modules": [one, other], "feedforward_modules": [other]},
    }
    return {f"{family}, {kind}": (family, {}, config) for kind, config in found.items()}


KINDS: dict[str, tuple[str, dict, dict]] = {
    **_across("mixtral", _MIXTURE),
    **_across("mamba", _STATES),
    "lora": ("llama", {}, PLAIN),
    "rslora": ("llama", {}, {**PLAIN, "use_rslora": True}),
    "rank pattern": (
        "llama",
        {},
        {**PLAIN, "rank_pattern": {"q_proj": 2, r"^model\.layers\.1\.self_attn\.v_proj": 6}},
    ),
    "alpha pattern with rank stabilisation": (
        "llama",
        {},
        {
            **PLAIN,
            "use_rslora": True,
            "rank_pattern": {"layers.0.mlp.up_proj": 3},
            "alpha_pattern": {"q_proj": 3, "layers.0.mlp.up_proj": 5},
        },
    ),
    "one layer only": ("llama", {}, {**PLAIN, "layers_to_transform": [1]}),
    "all linear": ("qwen", {}, {"r": 4, "target_modules": "all-linear"}),
    "gaussian start": ("llama", {}, {**PLAIN, "init_lora_weights": "gaussian"}),
    "orthogonal start": ("llama", {}, {**PLAIN, "init_lora_weights": "orthogonal"}),
    "dora": ("llama", {}, {**PLAIN, "use_dora": True}),
    "dora with rank stabilisation": ("gemma", {}, {**PLAIN, "use_dora": True, "use_rslora": True}),
    "dora with rank stabilisation and patterns": (
        "llama",
        {},
        {
            **PLAIN,
            "use_dora": True,
            "use_rslora": True,
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"layers.1.*v_proj": 7},
        },
    ),
    "velora": ("llama", {}, {**PLAIN, "velora_config": {}}),
    "whole modules": (
        "llama",
        {},
        {**PLAIN, "modules_to_save": ["lm_head", "embed_tokens", "input_layernorm"]},
    ),
    "a whole module with adapted ones": ("llama", {}, {**PLAIN, "modules_to_save": ["mlp"]}),
    "adapted and saved whole": (
        "llama",
        {},
        {"r": 4, "target_modules": ["lm_head", "q_proj"], "modules_to_save": ["lm_head"]},
    ),
    "embedding": ("llama", {}, {"r": 4, "target_modules": ["embed_tokens", "q_proj"]}),
    "head": ("llama", {}, {"r": 4, "target_modules": ["lm_head", "q_proj"]}),
    "dora embedding": (
        "llama",
        {},
        {"r": 4, "use_dora": True, "target_modules": ["embed_tokens", "q_proj"]},
    ),
    "tokens": ("llama", {}, {**PLAIN, "trainable_token_indices": [3, 70, 5]}),
    "tokens by module": ("llama", {}, {**PLAIN, "trainable_token_indices": {"embed_tokens": [7]}}),
    "tokens of both ends": (
        "llama",
        {},
        {**PLAIN, "trainable_token_indices": {"embed_tokens": [70, 3], "lm_head": [3, 9]}},
    ),
    "tokens, tied": ("qwen", {"tied": True}, {**PLAIN, "trainable_token_indices": [3, 70]}),
    "tied": ("gemma", {}, {**PLAIN, "target_modules": ["q_proj", "o_proj", "down_proj"]}),
    "bias of all": ("qwen", {}, {**PLAIN, "bias": "all"}),
    "bias of adapted": ("qwen", {}, {**PLAIN, "bias": "lora_only"}),
    "lora bias": ("qwen", {}, {**PLAIN, "target_modules": ["q_proj", "k_proj"], "lora_bias": True}),
    "lora bias with bias of all": (
        "qwen",
        {},
        {**PLAIN, "target_modules": ["q_proj"], "lora_bias": True, "bias": "all"},
    ),
    "conv1d": ("gpt2", {}, CONV),
    "conv1d rslora": ("gpt2", {}, {**CONV, "use_rslora": True}),
    "conv1d dora": ("gpt2", {}, {**CONV, "use_dora": True}),
    "conv1d lora bias": ("gpt2", {}, {**CONV, "lora_bias": True}),
    "conv1d bias of all": ("gpt2", {}, {**CONV, "bias": "all"}),
    "conv1d whole modules": ("gpt2", {}, {**CONV, "modules_to_save": ["ln_1", "ln_f"]}),
    "ia3": ("qwen", {}, SCALES),
    "ia3 conv1d": (
        "gpt2",
        {},
        {"target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"]},
    ),
    "ia3 whole modules": ("llama", {}, {**SCALES, "modules_to_save": ["lm_head"]}),
    "mixtral": ("mixtral", {}, {**PLAIN, "target_modules": ["q_proj", "o_proj"]}),
    "mamba": ("mamba", {}, {"r": 4, "target_modules": ["in_proj", "x_proj"]}),
    "mamba dora": (
        "mamba",
        {},
        {"r": 4, "target_modules": ["x_proj"], "use_dora": True, "bias": "all"},
    ),
    "mamba's own parameters": (
        "mamba",
        {},
        {"r": 2, "target_modules": [], "target_parameters": ["mixer.A_log"]},
    ),
    "one matrix by name": (
        "gpt2",
        {},
        {"r": 4, "target_modules": [], "target_parameters": ["attn.c_proj.weight"]},
    ),
    "experts": ("mixtral", {}, {**EXPERTS, "target_modules": ["q_proj"]}),
    "experts with patterns": (
        "mixtral",
        {},
        {
            **EXPERTS,
            "use_rslora": True,
            "rank_pattern": {"experts.down_proj": 3},
            "alpha_pattern": {"layers.1.mlp.experts.gate_up_proj": 5},
        },
    ),
    "experts and router": (
        "qwen_moe",
        {},
        {
            "r": 2,
            "target_modules": [],
            "target_parameters": ["mlp.experts.down_proj", "mlp.gate.weight"],
        },
    ),
    "router of mixtral": (
        "mixtral",
        {},
        {"r": 2, "target_modules": ["v_proj"], "target_parameters": ["gate.weight"]},
    ),
    "stacked experts": ("gpt_oss", {}, {**EXPERTS, "target_modules": ["q_proj"]}),
    "stacked experts, one parameter": (
        "gpt_oss",
        {},
        {"r": 3, "target_modules": [], "target_parameters": ["experts.down_proj"]},
    ),
    "stacked experts, bias of all": (
        "gpt_oss",
        {},
        {"r": 2, "target_modules": [], "target_parameters": ["experts.down_proj"], "bias": "all"},
    ),
    "stacked experts and their biases": (
        "gpt_oss",
        {},
        {
            "r": 2,
            "target_modules": [],
            "target_parameters": ["experts.gate_up_proj", "experts.gate_up_proj_bias"],
        },
    ),
}

# Adapters that train one side of a tied pair. The merge must split it: PEFT's own merge keeps the
# pair tied (so that the merged model answers differently than the adapter did), or applies the
# delta twice.
ONE_SIDED: dict[str, tuple[str, dict, dict]] = {
    "embedding": ("llama", {"tied": True}, {"r": 4, "target_modules": ["embed_tokens", "q_proj"]}),
    "head": ("qwen", {"tied": True}, {"r": 4, "target_modules": ["lm_head", "q_proj"]}),
    "whole embedding": ("llama", {"tied": True}, {**PLAIN, "modules_to_save": ["embed_tokens"]}),
    "whole head": ("gemma", {}, {**PLAIN, "modules_to_save": ["lm_head"]}),
    "gpt2 embedding": ("gpt2", {}, {"r": 4, "target_modules": ["wte", "c_attn"]}),
}
BOTH_SIDES: dict[str, tuple[str, dict, dict]] = {
    "factors": (
        "llama",
        {"tied": True},
        {"r": 4, "target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True},
    ),
    "whole": (
        "llama",
        {"tied": True},
        {**PLAIN, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    ),
}
