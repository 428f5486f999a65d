"""Adapters of all kinds and a full fine-tune in one merge: the weighted sum of what PEFT makes of
each alone.
"""

from __future__ import annotations

import pytest
import torch

from tests.deltas import tiny
from tests.merge.making import merge, recipe, source


def _kinds(targets, saved):
    plain = {"r": 4, "lora_alpha": 6, "target_modules": targets}
    return [
        {**plain, "use_rslora": True, "rank_pattern": {targets[0]: 2}},
        {**plain, "use_dora": True},
        {**plain, "bias": "all"},
        {"target_modules": targets, "feedforward_modules": []},
        {**plain, "modules_to_save": saved},
    ]


EXPERTS = ["experts.down_proj", "experts.gate_up_proj"]
MIXTURES = {
    "qwen": _kinds(["q_proj", "up_proj"], ["lm_head"]),
    "gpt2": _kinds(["c_attn", "c_fc"], ["ln_f"]),
    "mixtral": [
        *_kinds(["q_proj"], ["norm"]),
        {"r": 2, "target_modules": [], "target_parameters": EXPERTS},
    ],
}


@pytest.mark.parametrize("family", MIXTURES)
def test_kinds_add_up(tmp_path, family):
    base = tiny.save_base(tmp_path / "base", family)
    adapters = [
        tiny.save_adapter(tmp_path / str(number), base, seed=number, **config)
        for number, config in enumerate(MIXTURES[family], 1)
    ]
    full = tiny.save_fine_tune(tmp_path / "full", base, seed=9)
    start = {name: tensor.double() for name, tensor in tiny.load(base).state_dict().items()}
    trained = [*(tiny.merged_by_peft(base, adapter) for adapter in adapters), tiny.load(full)]
    weights = [0.5 + number / 10 for number in range(len(trained))]
    sources = [source(path, w) for path, w in zip([*adapters, full], weights, strict=True)]
    merge(tmp_path / "out", base, recipe(*sources, scale=0.7))
    ours, theirs = tiny.load(tmp_path / "out").state_dict(), [m.state_dict() for m in trained]
    for name, first in start.items():
        total = sum(w * (m[name].double() - first) for w, m in zip(weights, theirs, strict=True))
        torch.testing.assert_close(ours[name].double(), first + 0.7 * total, rtol=1e-6, atol=1e-6)
