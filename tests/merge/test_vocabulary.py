"""Padded vocabularies: refused with both sizes until somebody says trim or extend; then exact."""

from __future__ import annotations

import json

import pytest
import torch

from additive.deltas.base import open_base
from additive.errors import CompatibilityError, UnknownName
from additive.merge.plan import plan
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source


def _resized(directory, base, rows, seed=1):
    """A full fine-tune of the base with another number of rows."""
    model = tiny.load(base)
    model.resize_token_embeddings(rows, mean_resizing=False)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(directory)
    return directory


def _saved_whole(directory, base, rows):
    """An adapter that saved embedding and head whole, after the model was given more rows."""
    directory, adapted = tiny.save_resized(directory, base, rows, ["embed_tokens", "lm_head"])
    return directory, adapted.merge_and_unload()


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2"])
@pytest.mark.parametrize("rows", [88, 72])
def test_it_is_refused_naming_both_sizes_and_the_option(tmp_path, family, rows):
    base = tiny.save_base(tmp_path / "base", family)
    tuned = _resized(tmp_path / "tuned", base, rows)
    with pytest.raises(CompatibilityError, match=f"{rows} tokens; the base has 80") as caught:
        plan(recipe(source(tuned)), base)
    assert "--vocabulary trim or --vocabulary extend" in str(caught.value.help)
    with pytest.raises(UnknownName, match="vocabulary"):
        plan(recipe(source(tuned), vocabulary="shrink"), base)


@pytest.mark.parametrize("family", ["llama", "gemma", "gpt2"])
@pytest.mark.parametrize(("rows", "choice", "left"), [
    (88, "extend", 88), (88, "trim", 80), (72, "extend", 80), (72, "trim", 72),
])  # fmt: skip
def test_one_fine_tune_of_another_size_gives_its_own_rows(tmp_path, family, rows, choice, left):
    """Rows that both have are the fine-tune's bit for bit; rows that it lacks are the base's."""
    base = tiny.save_base(tmp_path / "base", family)
    tuned = _resized(tmp_path / "tuned", base, rows)
    made = recipe(source(tuned), vocabulary=choice)
    assert any(f"get {left} rows" in note for note in plan(made, base).notes)
    merge(tmp_path / "out", base, made)
    merged, start, end = (tiny.load(p) for p in (tmp_path / "out", base, tuned))
    assert merged.config.vocab_size == left
    first, ours = start.state_dict(), merged.state_dict()
    for name, trained in end.state_dict().items():
        if trained.shape[0] == rows and name in ours and len(ours[name]) == left:
            kept = min(rows, left)
            assert torch.equal(ours[name][:kept], trained[:kept])
            assert torch.equal(ours[name][kept:], first[name][kept:left])
        else:
            assert torch.equal(ours[name], trained)
    assert torch.isfinite(tiny.logits(merged) if left >= 80 else torch.zeros(1)).all()


def test_modules_saved_whole_at_another_size_are_merged_as_peft_merges_them(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    adapter, theirs = _saved_whole(tmp_path / "adapter", base, 96)
    with pytest.raises(CompatibilityError, match="96 tokens; the base has 80"):
        plan(recipe(source(adapter)), base)
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary="extend"))
    ours = tiny.load(tmp_path / "out")
    assert ours.config.vocab_size == 96
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-6, atol=1e-7)


def test_sizes_mix_and_what_nobody_trained_gets_its_rows_too(tmp_path):
    """A LoRA without an embedding, and two fine-tunes of two other sizes."""
    base = tiny.save_base(tmp_path / "base", "llama", max_shard_size="20KB")
    one, two = (_resized(tmp_path / f"{rows}", base, rows, seed=rows) for rows in (72, 88))
    lora = tiny.save_adapter(tmp_path / "lora", base, r=4, target_modules=["q_proj"])
    for choice in ("extend", "trim"):
        merge(
            tmp_path / choice,
            base,
            recipe(source(one, 0.5), source(two, 0.5), source(lora), vocabulary=choice),
        )
        ours = tiny.load(tmp_path / choice).state_dict()["model.embed_tokens.weight"]
        start, a, b = (
            tiny.load(p).state_dict()["model.embed_tokens.weight"] for p in (base, one, two)
        )
        both = 0.5 * a + 0.5 * b[:72]
        torch.testing.assert_close(ours[:72], both)
        if choice == "extend":
            torch.testing.assert_close(ours[72:80], 0.5 * start[72:] + 0.5 * b[72:80])
            torch.testing.assert_close(ours[80:], 0.5 * b[80:])


def _forget_head(tensors):
    for name in [name for name in tensors if "lm_head" in name]:
        tensors.pop(name)


def test_a_head_that_nobody_trained_is_given_the_rows_of_the_embedding(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama", dtype=torch.bfloat16)
    adapter, _ = _saved_whole(tmp_path / "adapter", base, 96)
    files.edit(adapter, _forget_head)
    files.configure(adapter, modules_to_save=["embed_tokens"])
    merge(tmp_path / "out", base, recipe(source(adapter), vocabulary="extend"))
    head = tiny.load(tmp_path / "out").state_dict()["lm_head.weight"]
    assert torch.equal(head[:80], tiny.load(base).state_dict()["lm_head.weight"])
    assert not head[80:].any()


def test_tokens_are_never_trimmed_and_no_adapter_grows(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    (base / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "z": 75}}}))
    short, long = (_resized(tmp_path / f"{rows}", base, rows) for rows in (72, 88))
    with pytest.raises(CompatibilityError, match="a token 75 when trim would leave 72 rows"):
        plan(recipe(source(short), vocabulary="trim"), base)
    with pytest.raises(CompatibilityError, match="88 rows, which no adapter can say"):
        plan(recipe(source(long), vocabulary="extend", output="adapter"), base)


def test_factors_on_rows_that_come_are_refused(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    long = _resized(tmp_path / "long", base, 88)
    factors = tiny.save_adapter(tmp_path / "head", base, r=4, target_modules=["lm_head"])
    made = recipe(source(long), source(factors), vocabulary="extend")
    with pytest.raises(CompatibilityError, match="lm_head has factors, and its rows become 88"):
        plan(made, base)


def test_without_a_difference_the_choice_changes_nothing(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    tuned = tiny.save_fine_tune(tmp_path / "tuned", base)
    merge(tmp_path / "same", base, recipe(source(tuned)))
    merge(tmp_path / "trim", base, recipe(source(tuned), vocabulary="trim"))
    same, trim = (tmp_path / each / "model.safetensors" for each in ("same", "trim"))
    assert same.read_bytes() == trim.read_bytes()
    assert open_base(base).rows is None
