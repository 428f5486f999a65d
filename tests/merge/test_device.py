"""Where a merge is computed: refused where it is not there, kept to by every method, recorded."""

from __future__ import annotations

import pytest
import torch

from additive.deltas.base import open_base
from additive.deltas.device import move_delta
from additive.deltas.lazy import Difference, TokenRows, WholeTensor
from additive.deltas.model import Dense, Experts, LowRank, Sum
from additive.errors import ResourceError, UsageError
from additive.merge.plan import plan
from additive.merge.sources import open_sources
from tests.merge import files
from tests.merge.making import merge, recipe, source

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")


@pytest.fixture
def world(tmp_path):
    base = files.write_base(tmp_path / "base")
    loras = [source(files.write_lora(tmp_path / f"s{i}", i)) for i in (1, 2)]
    full = [source(files.write_fine_tune(tmp_path / f"full{i}", base, i)) for i in (3, 4)]
    return tmp_path, base, loras, full


@NO_CUDA
def test_cuda_without_cuda_is_refused_before_anything_is_read(world):
    tmp, base, loras, _ = world
    with pytest.raises(ResourceError, match="device is cuda when this machine has none") as found:
        plan(recipe(*loras, device="cuda"), base)
    assert "leave --device out" in str(found.value.help)
    assert found.value.exit_code == 4
    assert not (tmp / "out").exists()


def test_mergekits_own_methods_stay_on_the_processor(world, monkeypatch):
    _, base, loras, _ = world
    monkeypatch.setattr("additive.merge.sources.check_device", lambda device: None)
    with pytest.raises(UsageError, match="computes on the CPU"):
        plan(recipe(*loras, method="mergekit/ties", device="cuda"), base)


def test_the_device_is_part_of_what_a_merge_is(world):
    _, _, loras, _ = world
    assert "device" not in recipe(*loras).resolved()
    assert recipe(*loras, device="cuda").resolved()["device"] == "cuda"


def test_on_the_processor_nothing_is_moved(world):
    _, base, loras, full = world
    opened = open_sources(recipe(*loras, *full), open_base(base))
    for name in opened.parameters():
        stack = opened.stack(name, 0)
        mapped = opened.base.tensor(name)
        assert stack.base.data_ptr() == mapped.data_ptr()
        assert all(move_delta(delta, stack.base) is delta for delta in stack.deltas)


# Tensors without memory stand in for another device: whatever a kind of delta leaves on the
# processor would not go together with them.
@pytest.mark.parametrize("kind", ["low", "experts", "dense", "difference", "sum", "rows"])
def test_every_kind_of_delta_goes_to_the_device(kind):
    base = torch.zeros(8, 4, dtype=torch.bfloat16)
    delta = {
        "low": LowRank(torch.ones(8, 2), torch.ones(2, 4), 0.5),
        "experts": Experts(torch.ones(2, 4, 2), torch.ones(2, 2, 4)),
        "dense": Dense(torch.ones(8, 4)),
        "difference": Difference(WholeTensor(torch.ones(8, 4)), base),
        "sum": Sum(
            ((0.5, Dense(torch.ones(8, 4))), (1.0, Difference(WholeTensor(torch.ones(8, 4)), base)))
        ),
        "rows": Difference(TokenRows(base, (1,), torch.ones(1, 4)), base),
    }[kind]
    moved = move_delta(delta, torch.zeros(8, 4, device="meta"))
    assert moved.shape == delta.shape
    assert moved.dense().device.type == "meta"
    assert moved.rows(0, 4).dense().device.type == "meta"
    trained = getattr(moved, "trained_rows", None)
    assert (trained is None) is not hasattr(delta, "trained_rows")
    assert trained is None or trained(0, 4).device.type == "meta"


METHODS = (
    *("task_arithmetic", "linear", "ties", "dare_ties", "dare_linear", "della", "breadcrumbs"),
    *("consensus_ta", "localize_and_stitch", "tsv_m", "swudi", "svc", "pico", "iso_c", "ctm"),
    *("core/ties", "core/della", "core/dare_ties", "core/dare_linear", "core/breadcrumbs"),
    "core/consensus_ta",
)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["lora", "full", "mixed"])
def test_cuda_is_the_processor_within_rounding(world, method, kind):
    tmp, base, loras, full = world
    sources = {"lora": loras, "full": full, "mixed": [*loras, *full]}[kind]
    found = {}
    for device in ("cpu", "cuda"):
        merge(tmp / device, base, recipe(*sources, method=method, device=device, dtype="float32"))
        found[device] = files.read(tmp / device)
    for name, tensor in found["cpu"].items():
        torch.testing.assert_close(found["cuda"][name], tensor, rtol=1e-5, atol=1e-6)
