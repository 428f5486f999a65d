"""The default method follows what the sources are; what is asked for by name is taken as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.shared_inputs import shared_inputs
from additive.spec.method import MethodSpec
from additive.spec.recipe import MergeSpec
from additive.verbs.merge_request import LORA_METHOD, OTHER_METHOD, resolve_method

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
KINDS = {"dora": {**LORA, "use_dora": True}, "ia3": {"peft_type": "IA3"}, "full": None}
DEFAULT = MergeSpec().method


def apart():
    """Sources that share little of their inputs."""
    return 0.05, ("math", "code")


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    found = {}
    for name, config in {"math": LORA, "code": {**LORA, "use_rslora": True}, **KINDS}.items():
        found[name] = tmp_path / name
        found[name].mkdir()
        if config is not None:
            (found[name] / "adapter_config.json").write_text(json.dumps(config))
    return found


def test_plain_lora_is_merged_by_its_factors(places):
    sources = {name: places[name] for name in ("math", "code")}
    assert resolve_method(DEFAULT, None, {}, sources, apart) == (MethodSpec.of(LORA_METHOD), ())


@pytest.mark.parametrize("kind", KINDS)
def test_one_source_that_is_no_plain_lora_makes_it_a_sum_and_is_named(places, kind):
    sources = {name: places[name] for name in ("math", kind)}
    spec, notes = resolve_method(DEFAULT, None, {}, sources, apart)
    assert spec.resolved() == {"name": OTHER_METHOD}
    assert len(notes) == 1 and kind in notes[0] and "math" not in notes[0]


def test_what_is_asked_for_by_name_is_taken_for_every_kind(places):
    written = MethodSpec.of("ties", {"density": 0.3})
    assert resolve_method(written, None, {}, places, apart) == (written, ())
    assert resolve_method(written, "svc", {}, places, apart) == (MethodSpec.of("svc"), ())
    spec, _ = resolve_method(written, None, {"density": 0.4}, places, apart)
    assert spec.resolved() == {"name": "ties", "density": 0.4}


def test_the_default_can_be_asked_for_and_takes_parameters(places):
    sources = {"math": places["math"]}
    written = MethodSpec.of("ties", {"density": 0.3})
    assert resolve_method(written, "auto", {}, sources, apart)[0] == MethodSpec.of(LORA_METHOD)
    spec, _ = resolve_method(DEFAULT, None, {"keep": 0.5}, sources, apart)
    assert spec.resolved() == {"name": LORA_METHOD, "keep": 0.5}


def test_sources_that_share_their_inputs_are_summed_and_named(places):
    sources = {name: places[name] for name in ("math", "code")}
    spec, notes = resolve_method(DEFAULT, None, {}, sources, lambda: (0.82, ("math", "code")))
    assert spec.resolved() == {"name": OTHER_METHOD}
    assert notes == ("method task_arithmetic: math and code share 82% of their inputs",)


def adapter(path, seed, start, moved=0.1, dtype=torch.float32):
    """An adapter whose A starts from `start` and has moved by its own noise."""
    own = torch.Generator().manual_seed(seed)
    A = start + moved * torch.randn(start.shape, generator=own)
    path.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    tensors = {name.format("A"): A.to(dtype), name.format("B"): torch.randn(32, 4).to(dtype)}
    save_file(tensors, path / "adapter_model.safetensors")
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equal_starts_share_their_inputs_and_others_do_not(tmp_path, dtype):
    starts = [torch.randn(4, 64, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
    one = adapter(tmp_path / "one", 3, starts[0], dtype=dtype)
    two = adapter(tmp_path / "two", 4, starts[0], dtype=dtype)
    other = adapter(tmp_path / "other", 5, starts[1], dtype=dtype)
    share, pair = shared_inputs({"one": one, "two": two, "other": other})
    assert share > 0.9 and pair == ("one", "two")
    share, _ = shared_inputs({"one": one, "other": other})
    assert share < 0.3
    assert shared_inputs({"one": one}) is None


def test_the_share_is_that_of_the_principal_angles(tmp_path):
    """‖QᵢᵀQⱼ‖²_F / min(rᵢ, rⱼ) beside SciPy's angles."""
    from scipy.linalg import subspace_angles

    A, B = torch.randn(4, 64), torch.randn(4, 64)
    one, two = (adapter(tmp_path / n, 1, x, 0.0) for n, x in (("one", A), ("two", B)))
    share, _ = shared_inputs({"one": one, "two": two})
    angles = subspace_angles(A.T.numpy(), B.T.numpy())
    assert share == pytest.approx(float((np.cos(angles) ** 2).mean()), abs=1e-5)
