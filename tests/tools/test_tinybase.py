"""Pre-training continues where it was interrupted, from files that hold no pickle."""

from __future__ import annotations

import json
from itertools import islice

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from tools.tinybase import pretrain
from tools.tinybase.mixture import stream
from tools.tinybase.model import Shape, export
from tools.tinybase.pretrain import Plan
from tools.tinybase.tokenizer import train_tokenizer

PLAN = Plan(
    steps=6, decay=2, warmup=2, packs=4, length=64, save_every=2, log_every=2, compiled=False
)


@pytest.fixture(scope="module")
def tokenizer():
    rows = islice(stream(1), 2000)
    return train_tokenizer(text for row in rows for text in (row.prompt, row.completion))


@pytest.fixture(scope="module")
def shape(tokenizer):
    return Shape(tokenizer.get_vocab_size(), hidden=32, inner=48, layers=2, heads=4)


def test_an_interrupted_run_ends_with_the_same_weights(tokenizer, shape, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for work in (whole, parts):
        work.mkdir()
    expected = pretrain.pretrain(PLAN, shape, tokenizer, whole)

    save = pretrain.save

    def save_and_stop(state, path):
        save(state, path)
        raise KeyboardInterrupt

    for step in (2, 4):
        monkeypatch.setattr(pretrain, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain.pretrain(PLAN, shape, tokenizer, parts)
        with safe_open(parts / "checkpoint.safetensors", "pt") as file:
            assert json.loads(file.metadata()["state"]) == {"step": step}
    monkeypatch.setattr(pretrain, "save", save)
    resumed = pretrain.pretrain(PLAN, shape, tokenizer, parts)

    assert resumed.step == expected.step == PLAN.steps
    for name, weight in expected.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
    names = {path.name for path in parts.iterdir()}
    assert names == {"checkpoint.safetensors", "log.jsonl", "plan.json"}


def test_transformers_loads_what_is_exported(tokenizer, shape, tmp_path):
    export(pretrain.start(PLAN, shape).weights, shape, tokenizer, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.config.num_hidden_layers == shape.layers
    ids = AutoTokenizer.from_pretrained(tmp_path)("17+25=").input_ids
    assert len(ids) == 6  # every digit and sign is one token
