"""What is refused, before anything is written, with the mend."""

from __future__ import annotations

import json

import pytest
import torch

from additive.errors import CompatibilityError, IntegrityError, SpecError, UnknownName, UsageError
from additive.merge.plan import plan
from additive.merge.recipe import build_method
from tests.merge import files
from tests.merge.making import merge, plan_of, recipe, source


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "LOHA"}, "adapter is LOHA; expected LORA"),
        ({"peft_type": "IA3"}, "lora_alpha is set"),
        ({"peft_type": None}, "adapter is None"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4'"),
        ({"init_lora_weights": "olora"}, "belongs to a base that this initialisation changed"),
        ({"init_lora_weights": "corda"}, "corda"),
        ({"init_lora_weights": "loftq"}, "loftq"),
        ({"init_lora_weights": "lora_ga"}, "lora_ga"),
        ({"init_lora_weights": "tomorrow"}, "init_lora_weights is 'tomorrow', which is not known"),
        (
            {"target_parameters": ["experts.gate_up_proj"]},
            "target_parameters names experts.gate_up_proj, but the file has no factors of it",
        ),
        ({"layer_replication": [[0, 1]]}, "layer_replication is set"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is set"),
        ({"use_qalora": True}, "use_qalora is set"),
        ({"kasa_config": {"beta": 1}}, "kasa_config is set"),
        (
            {"use_something_new": True},
            "use_something_new is set: what it does to the weights is not known",
        ),
        ({"use_dora": True}, "has no DoRA magnitude"),
        ({"r": 16}, "has rank 4 and 4; its configuration says 16"),
        ({"rank_pattern": {"q_proj": 2}}, "has rank 4 and 4; its configuration says 2"),
    ],
)
def test_kinds_of_adapters(tmp_path, base, changes, said):
    adapter = files.configure(files.write_lora(tmp_path / "math", 1), **changes)
    with pytest.raises(CompatibilityError, match=said.replace("[", r"\[")) as caught:
        plan_of(base, adapter)
    assert "math" in (caught.value.where or "")


def test_a_field_that_is_switched_off_is_no_reason(tmp_path, base):
    adapter = files.configure(
        files.write_lora(tmp_path / "math", 1), kasa_config=None, use_new_thing=False
    )
    assert plan_of(base, adapter).touched


TOKENS = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(f"{Q}.lora_A.weight"), "has lora_B and no lora_A"),
        (lambda t: t.update({f"{Q}.lora_diag": torch.ones(4)}), "lora_diag' belongs to no kind"),
        (lambda t: t.update({"model.norm.weight": torch.ones(24)}), "every name should start with"),
        (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 3, 3, 3)}), "convolutions"),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 25)}),
            r"has shape \[24, 24\]; the factors have shape \[24, 25\]",
        ),
        (
            lambda t: t.update(
                {
                    "base_model.model.model.layers.7.q_proj.lora_A.weight": torch.ones(4, 24),
                    "base_model.model.model.layers.7.q_proj.lora_B.weight": torch.ones(24, 4),
                }
            ),
            "the base has no such parameter",
        ),
        (
            lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(96, 24)}),
            "has 96 tokens; the base has 80: another vocabulary",
        ),
        (
            lambda t: t.update({"base_model.model.model.norm.weight": torch.ones(25)}),
            r"has shape \[25\]; the base has \[24\]",
        ),
        (
            lambda t: t.update({f"{Q}.base_layer.weight": torch.ones(24, 24)}),
            "it was trained on another base",
        ),
        (
            lambda t: t.update({f"{Q}.lora_magnitude_vector": torch.ones(24)}),
            "has a DoRA magnitude, but use_dora is not set",
        ),
        (
            lambda t: t.update({f"{Q}.lora_B.bias": torch.ones(24)}),
            "has a bias of its factors, but lora_bias is not set",
        ),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(0)}),
            "shards of DeepSpeed or FSDP that were not gathered",
        ),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 24, dtype=torch.int8)}),
            "is I8; expected one of F32, F16, BF16",
        ),
        (
            lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(4, 24).to(torch.float8_e4m3fn)}),
            "is F8_E4M3; expected one of F32, F16, BF16",
        ),
        (
            lambda t: t.update({TOKENS: torch.ones(2, 24)}),
            "trained tokens of shape",
        ),
    ],
)
def test_tensors_of_adapters(tmp_path, base, change, said):
    adapter = files.write_lora(tmp_path / "math", 1)
    files.edit(adapter, change)
    with pytest.raises(CompatibilityError, match=said) as caught:
        plan_of(base, adapter)
    assert caught.value.help


def test_a_magnitude_of_another_size(tmp_path, base):
    module = Q.removeprefix("base_model.model.")
    adapter = files.write_lora(tmp_path / "math", 1, modules=(module,), use_dora=True)
    magnitudes = {f"{Q}.lora_magnitude_vector": torch.ones(23)}
    files.edit(adapter, lambda t: t.update(magnitudes))
    with pytest.raises(CompatibilityError, match=r"magnitude of shape \[23\]"):
        plan_of(base, adapter)


def test_a_token_beyond_the_vocabulary(tmp_path, base):
    adapter = files.configure(
        files.write_lora(tmp_path / "math", 1), trainable_token_indices=[3, 80]
    )
    name = TOKENS
    files.edit(adapter, lambda t: t.update({name: torch.ones(2, 24)}))
    with pytest.raises(CompatibilityError, match=r"trained token 80; the base has 80 tokens"):
        plan_of(base, adapter)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.pop("model.norm.weight"),
            "model.norm.weight is in the base and not in the fine-tune",
        ),
        (
            lambda t: t.update({"model.extra.weight": torch.ones(3)}),
            "the base has no such parameter",
        ),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(24, dtype=torch.int64)}),
            "is I64 and differs",
        ),
        (lambda t: t.update({"lm_head.weight": torch.ones(96, 24)}), "another vocabulary"),
    ],
)
def test_full_fine_tunes(tmp_path, base, change, said):
    full = files.write_fine_tune(tmp_path / "full", base, 1)
    files.edit(full, change, "model.safetensors")
    with pytest.raises(CompatibilityError, match=said):
        plan_of(base, full)


def test_folders_that_are_nothing(tmp_path, base):
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match=r"neither adapter_config.json nor config.json"):
        plan_of(base, tmp_path / "empty")
    adapter = files.write_lora(tmp_path / "pickled", 1)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(IntegrityError, match=r"missing"):
        plan_of(base, adapter)


def test_bases_that_cannot_be_merged_into(tmp_path):
    adapter = files.write_lora(tmp_path / "math", 1)
    quantised = files.write_model(tmp_path / "q", files.values(0), quantization_config={"bits": 4})
    with pytest.raises(CompatibilityError, match=r"base is quantized"):
        plan_of(quantised, adapter)
    wide = files.write_base(tmp_path / "wide", torch.float64)
    with pytest.raises(CompatibilityError, match=r"is F64 in the base"):
        plan_of(wide, adapter)


def test_recipes(tmp_path, base):
    one, two = (source(files.write_lora(tmp_path / n, i)) for i, n in enumerate("ab"))
    again = type(one)("other", one.digest, one.directory)
    with pytest.raises(UsageError, match=r"should occur once"):
        plan(recipe(one, again), base)
    with pytest.raises(UsageError, match=r"a@.* is named twice"):
        plan(recipe(one, type(one)("a", two.digest, two.directory)), base)
    with pytest.raises(UsageError, match=r"needs at least one"):
        plan(recipe(), base)
    with pytest.raises(UnknownName, match=r"did you mean 'bfloat16'"):
        plan(recipe(one, dtype="bfloat"), base)
    with pytest.raises(UsageError, match=r"scale is nan"):
        plan(recipe(one, scale=float("nan")), base)
    with pytest.raises(UsageError, match=r"weight of a is inf"):
        plan(recipe(source(one.directory, float("inf"))), base)
    with pytest.raises(UsageError, match=r"weights of linear add up to 0"):
        plan(recipe(source(one.directory, 1.0), source(two.directory, -1.0), method="linear"), base)


def test_methods_and_parameters():
    with pytest.raises(UnknownName, match=r"did you mean 'dare_ties'") as caught:
        build_method("dare-ties")
    assert "task_arithmetic" in str(caught.value.help)
    with pytest.raises(SpecError, match=r"^parameters of ties: unknown key 'densty'; did you mean"):
        build_method("ties", {"densty": 0.2})
    with pytest.raises(UsageError, match=r"density of ties is 20; .* did you mean 0.2"):
        build_method("ties", {"density": 20})
    for value in (0.0, -1.0, float("nan"), 1.5):
        with pytest.raises((SpecError, UsageError), match=r"density"):
            build_method("dare_ties", {"density": value})
    for value in ("high", True, None, [0.2]):
        with pytest.raises(SpecError, match=r"; expected a number"):
            build_method("ties", {"density": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_none_are_named_and_nothing_is_written(tmp_path, base, kind, value, dtype):
    if kind == "lora":
        path, file = files.write_lora(tmp_path / "math", 1), "adapter_model.safetensors"
        tensor = f"{Q}.lora_B.weight"
    else:
        path, file = files.write_fine_tune(tmp_path / "math", base, 1, dtype), "model.safetensors"
        tensor = "model.layers.0.mlp.up_proj.weight"
    files.edit(path, lambda t: t[tensor][-1].__setitem__(-1, value), file)
    good = files.write_lora(tmp_path / "code", 2)
    out = tmp_path / "out"
    with pytest.raises(IntegrityError, match=f"{tensor} holds NaN or infinity") as caught:
        merge(out, base, recipe(source(good), source(path)))
    assert caught.value.where == "math"
    assert not list(out.iterdir())


def test_a_result_that_overflows_is_named_and_leaves_no_file(tmp_path):
    base = files.write_base(tmp_path / "base", torch.float16)
    loud = files.write_lora(tmp_path / "loud", 1, size=300.0)
    with pytest.raises(IntegrityError, match=r"is not finite after the merge .* torch.float16"):
        merge(tmp_path / "out", base, recipe(source(loud)))
    assert not list((tmp_path / "out").iterdir())


def test_another_base_template_or_vocabulary(tmp_path, base):
    other = files.write_base(tmp_path / "other", seed=9)
    (other / "chat_template.jinja").write_text("{{ messages }}")
    full = files.write_fine_tune(tmp_path / "full", base, 1)
    (full / "chat_template.jinja").write_text("{{ messages[0] }}")
    with pytest.raises(
        CompatibilityError, match=r"chat template is .*; the base has none"
    ) as caught:
        plan_of(base, full)
    assert "full@" in (caught.value.where or "")
    (full / "chat_template.jinja").unlink()
    (full / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"b": 0}}}))
    with pytest.raises(CompatibilityError, match=r"vocabulary is .*; the base has"):
        plan_of(base, full)
