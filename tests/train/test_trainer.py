"""What TRL is relied on for: a contract that a new version of it must keep."""

from __future__ import annotations

import pytest
import torch

from additive.models.loading import load_model
from additive.models.template import Encoded
from additive.train import checkpoint
from additive.train.adapt import adapted, make_optimizer, trainable
from additive.train.batches import BatchPlan
from additive.train.preflight import preflight
from additive.train.run import run_root, train
from additive.train.schedule import phase, rate_factor
from additive.train.trainer import collate
from additive.types.seeds import derive_seed
from tests.train.making import job, score


def bare_loop(base, tokenizer, made, steps):
    """The same run in twenty lines of PyTorch."""
    spec = made.spec
    _, examples = preflight(made.rows, tokenizer, spec.train.max_length)
    plain = load_model(base)
    plain.set_attn_implementation("eager")
    model = adapted(plain, spec.adapt, made.name, spec.train.seed)
    optimizer = make_optimizer(model, spec.train)
    plan = BatchPlan(
        tuple(len(e) for e in examples), (), 0.0, spec.train.batch_size, spec.train.seed
    )
    now = phase(None, None, spec.saturation)
    model.train()
    widest = max(len(example) for example in examples)
    for step, rows in enumerate(plan.steps(0, steps)):
        torch.manual_seed(derive_seed(spec.train.seed, "step", step, 0))
        for group in optimizer.param_groups:
            group["lr"] = spec.train.learning_rate * rate_factor(step, spec.train.warmup, now)
        batch = collate([examples[row] for row in rows], 0, widest)
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(trainable(model).values()), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return trainable(model)


@pytest.mark.parametrize(("widest", "width"), [(100, 16), (14, 14)])
def test_few_widths_and_never_more_than_there_are_positions(widest, width):
    batch = collate([Encoded((1,) * 3, (2,) * 6), Encoded((1,), (2,))], 0, widest)
    assert {value.shape for value in batch.values()} == {(2, width)}
    assert batch["attention_mask"].sum(dim=1).tolist() == [9, 2]
    assert (batch["labels"] == 2).sum(dim=1).tolist() == [6, 1]
    assert (batch["input_ids"] != 0).sum(dim=1).tolist() == [9, 2]


@pytest.mark.parametrize("options", [{}, {"adapt": {"dropout": 0.2}}, {"adapt": {"kind": "full"}}])
def test_a_run_is_the_loop_that_it_says_it_is(base, tokenizer, tmp_path, options):
    made = job(base, tmp_path, **options)
    train(made, score(base))
    found = checkpoint.at(run_root(made) / "checkpoints", 16).weights()
    expected = bare_loop(base, tokenizer, made, 16)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-3), name


def test_nobody_is_told(base, tmp_path, monkeypatch):
    import trl.trainer.base_trainer as upstream

    monkeypatch.setattr(upstream, "send_telemetry", lambda *a, **k: pytest.fail("told"))
    monkeypatch.delenv("CI", raising=False)
    train(job(base, tmp_path), score(base))


def test_large_logits_take_trls_own_path(base, tmp_path, monkeypatch):
    """Where whole logits would not fit, TRL computes them in tiles; the curve is the same."""
    from additive.train import trainer

    plain = train(job(base, tmp_path / "plain"), score(base))
    monkeypatch.setattr(trainer, "_DIRECT_LOGITS", 0)
    tiled = train(job(base, tmp_path / "tiled"), score(base))
    assert [p.loss for p in tiled.curve] == pytest.approx([p.loss for p in plain.curve], abs=1e-3)
