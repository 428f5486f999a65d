"""A field of adapter_config.json that has another type than PEFT's is named, never read as near."""

from __future__ import annotations

import pytest

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.deltas.peft_config import read_adapter_config
from additive.errors import IntegrityError
from tests.merge import files


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("lora_alpha", None, "lora_alpha is missing or null; expected a number"),
        ("lora_alpha", "auto", "lora_alpha is 'auto'; expected a number"),
        ("lora_alpha", True, "lora_alpha is True; expected a number"),
        ("r", None, "r is missing or null; expected a whole number, 1 or more"),
        ("r", 4.7, "r is 4.7; expected a whole number"),
        ("r", 0, "r is 0; expected a whole number"),
        ("rank_pattern", ["q_proj"], "rank_pattern is ['q_proj']; expected an object"),
        ("rank_pattern", {"q_proj": None}, "rank_pattern.q_proj is missing or null; expected"),
        ("rank_pattern", {"q_proj(": 4}, "rank_pattern is 'q_proj('; expected a regular"),
        ("alpha_pattern", {"q_proj": "x"}, "alpha_pattern.q_proj is 'x'; expected a numb"),
        ("use_rslora", "false", "use_rslora is 'false'; expected true or false"),
        ("use_dora", 1, "use_dora is 1; expected true or false"),
        ("fan_in_fan_out", "no", "fan_in_fan_out is 'no'; expected true or false"),
        ("bias", "some", "bias is 'some'; expected one of none, all, lora_only"),
        ("target_parameters", "q.weight", "target_parameters is 'q.weight'; expected a l"),
        ("modules_to_save", [1], "modules_to_save is [1]; expected a list of names"),
        ("base_model_name_or_path", ["x"], "base_model_name_or_path is ['x']; expected t"),
        ("trainable_token_indices", "abc", "trainable_token_indices is 'abc'; expected a"),
        (
            "trainable_token_indices",
            {"embed_tokens": 5},
            "trainable_token_indices.embed_tokens is 5; expected a list of token ids",
        ),
    ],
)
def test_another_type_is_named_with_what_it_should_be(tmp_path, field, value, said):
    base = files.write_base(tmp_path / "base")
    adapter = files.configure(files.write_lora(tmp_path / "lora", 1), **{field: value})
    with pytest.raises(IntegrityError) as caught:
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    assert said in str(caught.value)
    assert caught.value.where == str(adapter / "adapter_config.json")
    assert caught.value.help


@pytest.mark.parametrize("pattern", ["(.*a)*b", "(a+)+b", "a?" * 40 + "a" * 40, ".*.*.*.*.*.*b"])
def test_a_pattern_that_could_match_forever_is_refused_at_once(tmp_path, pattern):
    adapter = files.configure(files.write_lora(tmp_path / "lora", 1), rank_pattern={pattern: 4})
    with pytest.raises(IntegrityError, match="of few repetitions"):
        read_adapter_config(adapter)


UNSLOTH = (
    r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|k_proj).*?)"
    r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|k_proj)))"
)


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "layers_pattern"])
def test_targets_that_peft_would_match_forever_are_refused(tmp_path, key):
    adapter = files.write_lora(tmp_path / "lora", 1)
    for fine in ("all-linear", UNSLOTH, ["q_proj", r"layers\.\d+\.(q|v)_proj"], None):
        assert read_adapter_config(files.configure(adapter, **{key: fine})).rank == 4
    for bomb in ("(a+)+$", ["q_proj", "(.*a){20}b"]):
        with pytest.raises(IntegrityError, match=f"{key} is .* that repeats no group"):
            read_adapter_config(files.configure(adapter, **{key: bomb}))


@pytest.mark.parametrize(
    "pattern", ["q_proj", r"^model\.layers\.(0|1)\..*q_proj", r"layers\.\d+\.self_attn\.(q|v)_proj"]
)
def test_patterns_of_people_are_read(tmp_path, pattern):
    adapter = files.write_lora(tmp_path / "lora", 1)
    files.configure(adapter, rank_pattern={pattern: 4}, alpha_pattern={pattern: 2.5}, bias=None)
    config = read_adapter_config(adapter)
    module = "model.layers.0.self_attn.q_proj"
    assert (config.rank_of(module), config.scale_of(module)) == (4, 2.5 / 4)
    assert config.bias == "none"
