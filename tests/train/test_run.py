"""A run from rows to a directory that peft or transformers load as it is."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from additive.errors import CompatibilityError, DivergedError, ResourceError
from additive.models.loading import load_model, load_specialist
from additive.train import run as running
from additive.train.run import run_root, train
from additive.train.saturation import Evaluation
from tests.e2e.bases import FAMILIES
from tests.train.making import digest, job, listener, rows, score

FULL = {"adapt": {"kind": "full"}, "train": {"learning_rate": 0.003}}


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    """A finished LoRA run: its job, its result and what it said."""
    said, listen = listener()
    made = job(base, tmp_path_factory.mktemp("lora"))
    return made, train(made, score(base), listen), said


def test_the_result_loads_with_plain_peft(base, lora):
    _, result, _ = lora
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result.directory)
    evaluated = score(base)(model.eval(), result.plateau_step)
    assert evaluated.loss == pytest.approx(result.curve[-1].loss, abs=1e-4)
    ours = score(base)(load_specialist(base, result.directory), 0)
    assert ours.loss == pytest.approx(evaluated.loss, abs=1e-4)


def test_training_lowers_the_loss(lora):
    _, result, _ = lora
    losses = [point.loss for point in result.curve]
    assert losses[-1] < losses[0] - 0.5


def test_the_adapter_is_all_there_is(lora):
    _, result, _ = lora
    files = sorted(path.name for path in result.directory.iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((result.directory / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "micro"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert "lm_head" not in config["target_modules"]
    assert "/" not in json.dumps(config)


def test_the_adapter_is_written_as_peft_writes_it(base, lora, tmp_path):
    _, result, _ = lora
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result.directory)
    model.save_pretrained(tmp_path)
    theirs, ours = (
        load_file(d / "adapter_model.safetensors") for d in (tmp_path, result.directory)
    )
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_snapshots_are_the_evaluations_nearest_to_their_fractions(lora):
    _, result, _ = lora
    assert [(s.fraction, s.step) for s in result.snapshots] == [
        (0.25, 4),
        (0.5, 8),
        (0.75, 12),
        (1.0, 16),
    ]
    assert result.snapshots[-1].directory == result.directory
    assert len({digest(s.directory) for s in result.snapshots}) == 4


def test_the_run_says_what_it_does(lora):
    _, _, said = lora
    text = "\n".join(said)
    for part in ("float32", "'0<|end|>'", "rows        60 of 60", "validation", "loss"):
        assert part in text


def test_the_curve_begins_with_the_base(base, lora):
    _, result, _ = lora
    assert result.curve[0].step == 0
    assert result.curve[0].loss == pytest.approx(score(base)(load_model(base), 0).loss, abs=1e-4)
    assert [point.step for point in result.curve] == [0, 4, 8, 12, 16]
    assert all(point.low <= point.score <= point.high for point in result.curve)


def test_a_finished_run_is_not_run_again(base, lora, monkeypatch):
    made, result, _ = lora
    monkeypatch.setattr(running, "choose_device", lambda spec: pytest.fail("trained again"))
    assert train(made, score(base)) == result


def test_the_same_job_gives_the_same_bytes(base, lora, tmp_path):
    _, result, _ = lora
    again = train(job(base, tmp_path), score(base))
    assert digest(again.directory) == digest(result.directory)


def test_another_job_has_another_directory(base, lora, tmp_path):
    made, _, _ = lora
    others = [
        job(base, tmp_path, name="code"),
        job(base, tmp_path, rows=rows(59)),
        job(base, tmp_path, train={"learning_rate": 0.02}),
        job(base, tmp_path, saturation={"eval_steps": 5}),
        job(base, tmp_path, system="Be brief."),
    ]
    assert len({run_root(one).name for one in [made, *others]}) == 6


def first_factor(base, name, seed=0):
    from additive.spec.domain import LoraSpec
    from additive.train.adapt import adapted, trainable

    model = adapted(load_model(base), LoraSpec(rank=4), name, seed)
    return next(p for n, p in trainable(model).items() if "lora_A" in n)


def test_the_first_factor_comes_from_the_domains_name(base):
    assert torch.equal(first_factor(base, "math"), first_factor(base, "math"))
    assert not torch.equal(first_factor(base, "math"), first_factor(base, "code"))
    assert not torch.equal(first_factor(base, "math"), first_factor(base, "math", seed=1))


def test_targets_that_name_nothing_are_refused(base, tmp_path):
    with pytest.raises(CompatibilityError, match="does not fit this base"):
        train(job(base, tmp_path, adapt={"targets": ("no_such",)}), score(base))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_fine_tune_of_any_family_loads_plainly(bases, tmp_path, family):
    base = bases(family)
    result = train(job(base, tmp_path, **FULL), score(base))
    model = AutoModelForCausalLM.from_pretrained(result.directory).eval()
    assert model.dtype == torch.float32
    evaluated = score(base)(model, 16)
    assert evaluated.loss == pytest.approx(result.curve[-1].loss, abs=1e-4)
    assert evaluated.loss < result.curve[0].loss - 0.5
    tokenizer = AutoTokenizer.from_pretrained(result.directory)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template
    names = {path.suffix for path in result.directory.iterdir()}
    assert names <= {".safetensors", ".json", ".jinja"}
    assert [s.fraction for s in result.snapshots] == [1.0]
    assert str(base) not in (result.directory / "config.json").read_text()


@pytest.mark.parametrize("family", ["gpt2", "gemma"])
def test_lora_of_other_families_loads_plainly(bases, tmp_path, family):
    base = bases(family)
    result = train(job(base, tmp_path, adapt={"rslora": True, "dropout": 0.1}), score(base))
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result.directory)
    evaluated = score(base)(model.eval(), 16)
    assert evaluated.loss == pytest.approx(result.curve[-1].loss, abs=1e-4)


def test_a_snapshot_beyond_the_plateau_trains_on(base, tmp_path):
    made = job(base, tmp_path, snapshots=(0.5, 1.0, 1.5))
    result = train(made, score(base))
    assert (result.plateau_step, result.last_step) == (16, 24)
    assert [(s.fraction, s.step) for s in result.snapshots] == [(0.5, 8), (1.0, 16), (1.5, 24)]
    plain = train(job(base, tmp_path / "plain"), score(base))
    assert digest(plain.directory) == digest(result.directory)


def test_a_flat_curve_ends_saturated_after_its_tail(base, tmp_path):
    made = job(
        base, tmp_path, train={"learning_rate": 1e-6}, saturation={"min_gain": 0.5, "max_steps": 99}
    )
    result = train(made, score(base))
    assert (result.outcome, result.plateau_step) == ("saturated", 16)
    assert result.saturation["step"] == 12
    assert result.saturation["gain"] < 0.5
    assert any("no gain" in note for note in result.notes)


def overfit(model, step):
    """Items are won until step 24 and lost from there on; the loss rises all the time."""
    right = round(100 * (step / 24 if step <= 24 else 1 - (step - 24) / 150))
    return Evaluation(step, (1.0,) * right + (0.0,) * (100 - right), (0.3 + 0.02 * step,) * 100)


@pytest.mark.parametrize("options", [{}, FULL])
def test_overfitting_ends_at_the_best_point(base, tmp_path, options):
    """Of a full fine-tune few weights are kept; those of the best point are among them."""
    made = job(base, tmp_path, **options, saturation={"max_steps": 99, "eval_steps": 3})
    result = train(made, overfit)
    assert (result.outcome, result.plateau_step) == ("overfitting", 30)
    assert result.last_step < 60
    assert any("validation loss was rising" in note for note in result.notes)
    shorter = job(
        base, tmp_path, **options, saturation={"max_steps": 30, "decay_steps": 0, "eval_steps": 3}
    )
    assert digest(train(shorter, overfit).directory) == digest(result.directory)


def test_divergence_is_an_error_that_keeps_the_last_finite_weights(base, tmp_path):
    made = job(base, tmp_path, **{**FULL, "train": {"learning_rate": 1e30}})
    with pytest.raises(DivergedError, match=r"diverged at step .* \(NaN or Inf\)") as raised:
        train(made, score(base))
    assert raised.value.exit_code == 1
    assert "train.learning_rate" in raised.value.help


def test_recall_is_mixed_in_and_changes_what_is_learned(base, tmp_path):
    recall = tuple(rows(90)[60:])
    with_recall = job(base, tmp_path, recall_rows=recall, recall={"share": 0.5})
    result = train(with_recall, score(base))
    assert result.record["recall"] == {"rows": 30, "answered": 0, "unfinished": 0}
    without = train(job(base, tmp_path), score(base))
    assert digest(result.directory) != digest(without.directory)
    few = job(base, tmp_path, recall_rows=recall, recall={"share": 0.5, "rows": 7})
    assert train(few, score(base)).record["recall"]["rows"] == 7


def test_micro_batches_change_nothing_but_rounding(base, tmp_path, lora):
    _, whole, _ = lora
    parts = train(job(base, tmp_path, train={"micro_batch_size": 3}), score(base))
    assert [p.loss for p in parts.curve] == pytest.approx([p.loss for p in whole.curve], abs=1e-3)


def test_rows_that_fit_nowhere_are_refused(base, tmp_path):
    with pytest.raises(CompatibilityError, match="room"):
        train(job(base, tmp_path, train={"max_length": 3}), score(base))


def test_cuda_that_is_not_there_is_said(base, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="cuda"):
        train(job(base, tmp_path, train={"device": "cuda"}), score(base))


def test_half_precision_is_refused(base, tmp_path):
    with pytest.raises(CompatibilityError, match="float16"):
        train(job(base, tmp_path, train={"dtype": "float16"}), score(base))
