"""`target_parameters` and IA3: what shapes leave open, or contradict, is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.deltas.model import Experts, combine
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.merge import files

CONTAINER = "model.layers.0.mlp.experts"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 6}


def _base(root, shapes, **config):
    named = {f"{CONTAINER}.{name}": shape for name, shape in shapes.items()}
    return files.write_model(root / "base", files.values(0, named), **config)


def _adapter(root, factors, targets, **config):
    """Factors (A's shape, B's shape) from the outermost wrapper to the innermost."""
    directory = root / "adapter"
    directory.mkdir()
    shapes = {}
    for depth, pair in enumerate(factors):
        for side, shape in zip("AB", pair, strict=True):
            stem = f"base_model.model.{CONTAINER}{'.base_layer' * depth}"
            shapes[f"{stem}.lora_{side}.weight"] = shape
    save_file(files.values(1, shapes), directory / "adapter_model.safetensors")
    settings = CONFIG | {"target_parameters": targets, "target_modules": []} | config
    (directory / "adapter_config.json").write_text(json.dumps(settings))
    return directory


def _open(base, adapter):
    return open_deltas(adapter, open_base(base), "a", "0" * 64)


def test_rows_of_stacked_experts_are_rows_of_the_whole():
    torch.manual_seed(0)
    delta = Experts(torch.randn(3, 5, 2), torch.randn(3, 2, 4), 0.5)
    expected = 0.5 * torch.einsum("eor,eri->eoi", delta.B, delta.A)
    torch.testing.assert_close(delta.dense(), expected)
    for start, stop in ((0, 15), (3, 12), (5, 10), (14, 15)):
        torch.testing.assert_close(
            delta.rows(start, stop).tensor, expected.reshape(15, 4)[start:stop]
        )
    both = combine([(2.0, delta), (-1.0, delta)])
    assert isinstance(both, Experts)
    torch.testing.assert_close(both.dense(), expected)


def test_the_hidden_side_says_how_square_experts_lie(tmp_path):
    """Inputs and outputs are alike; the other parameter of the base is not."""
    shapes = {"gate_up_proj": (3, 16, 32), "down_proj": (3, 16, 16)}
    base = _base(tmp_path, shapes, hidden_size=16)
    adapter = _adapter(tmp_path, [((6, 16), (16, 6))], ["experts.down_proj"])
    source = _open(base, adapter)
    (name,) = source.parameters()
    tensors = files.read(adapter)
    A, B = (tensors[f"base_model.model.{CONTAINER}.lora_{side}.weight"] for side in "AB")
    dense = 3.0 * torch.einsum("ore,eri->eio", B.reshape(16, 2, 3), A.reshape(3, 2, 16))
    torch.testing.assert_close(source.delta(name).dense(), dense)


@pytest.mark.parametrize(
    ("shapes", "factors", "targets", "config", "said"),
    [
        pytest.param(
            {"down_proj": (3, 16, 16)}, [((6, 16), (16, 6))], ["experts.down_proj"], {},
            "they fit them in more than one way", id="square",
        ),
        pytest.param(
            {"up_proj": (3, 8, 16), "up_too": (3, 8, 16)}, [((6, 16), (8, 6))] * 2,
            ["up_proj", "up_too"], {}, "they fit them in more than one way", id="alike",
        ),
        pytest.param(
            {"down_proj": (3, 16, 8)}, [((9, 8), (16, 9))], ["down_proj"], {},
            "they fit none of them", id="another rank",
        ),
        pytest.param(
            {"down_proj": (3, 16, 8), "up_proj": (3, 8, 16)}, [((6, 8), (16, 6))],
            ["down_proj", "up_proj"], {}, "they fit none of them", id="one is missing",
        ),
        pytest.param(
            {"other": (3, 16, 8)}, [((6, 8), (16, 6))], ["down_proj"], {},
            "no such parameter", id="not in the base",
        ),
    ],
)  # fmt: skip
def test_what_the_shapes_leave_open_is_refused(tmp_path, shapes, factors, targets, config, said):
    base = _base(tmp_path, shapes, hidden_size=16, **config)
    with pytest.raises(CompatibilityError, match=said):
        _open(base, _adapter(tmp_path, factors, targets))


def test_a_start_that_changed_the_base_is_refused(tmp_path):
    base = _base(tmp_path, {"down_proj": (3, 16, 8)})
    factors = [((6, 8), (16, 6))]
    adapter = _adapter(tmp_path, factors, ["down_proj"], init_lora_weights="pissa")
    (adapter / "pissa_init").mkdir()
    save_file(files.read(adapter), adapter / "pissa_init" / "adapter_model.safetensors")
    with pytest.raises(CompatibilityError, match="target_parameters on an initialisation"):
        _open(base, adapter)


@pytest.mark.parametrize(
    ("scales", "kind", "said"),
    [
        ((25, 1), "IA3", r"scales of shape \[25, 1\]; its weight has shape \[24, 24\]"),
        ((24, 1), "LORA", "has scales; the adapter is LORA"),
    ],
)
def test_scales_that_fit_nothing_are_refused(tmp_path, scales, kind, said):
    base, adapter = files.write_base(tmp_path / "base"), tmp_path / "adapter"
    adapter.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.ia3_l"
    save_file({name: torch.ones(scales)}, adapter / "adapter_model.safetensors")
    config = CONFIG if kind == "LORA" else {}
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": kind}))
    with pytest.raises(CompatibilityError, match=said):
        _open(base, adapter)
