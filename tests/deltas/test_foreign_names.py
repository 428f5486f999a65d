"""What compilers, sharders and plain state dicts put into names is taken out; two names of one
thing are refused.
"""

from __future__ import annotations

import pytest
import torch

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.errors import CompatibilityError
from tests.merge import files

P = "base_model.model."
Q = f"{P}model.layers.0.self_attn.q_proj"
RENAMED = {
    "torch.compile": (P, f"{P}_orig_mod."),
    "torch.compile of the adapted model": (P, f"_orig_mod.{P}"),
    "DDP": (P, f"module.{P}"),
    "DDP of a compiled model": (P, f"module._orig_mod.{P}"),
    "FSDP": (".layers.0.", ".layers.0._fsdp_wrapped_module."),
    "checkpointing": (".layers.1.", ".layers.1._checkpoint_wrapped_module."),
    "a plain state dict": (".lora_A.", ".lora_A.default."),
}


def _rename(adapter, old, new):
    def change(tensors):
        for name in list(tensors):
            tensors[name.replace(old, new)] = tensors.pop(name)

    files.edit(adapter, change)


def _deltas(adapter, base):
    opened = open_deltas(adapter, open_base(base), "a", "0" * 64)
    return {name: opened.delta(name).dense() for name in opened.parameters()}


@pytest.mark.parametrize("who", RENAMED)
def test_the_delta_is_that_of_the_plain_names(tmp_path, who):
    base, adapter = files.write_base(tmp_path / "base"), files.write_lora(tmp_path / "lora", 1)
    expected = _deltas(adapter, base)
    _rename(adapter, *RENAMED[who])
    found = _deltas(adapter, base)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"_orig_mod.{Q}.lora_A.weight", "is there a second time, as"),
        (f"{P}layers.0.self_attn.q_proj", "is changed by two modules of the adapter"),
        (f"{Q}.weight", "is changed by two modules of the adapter, or by factors and whole"),
    ],
)
def test_two_names_of_one_thing_are_refused(tmp_path, name, said):
    """Summed they would be twice what was trained."""
    base, adapter = files.write_base(tmp_path / "base"), files.write_lora(tmp_path / "lora", 1)

    def change(tensors):
        if name.endswith("q_proj"):
            for side in "AB":
                tensors[f"{name}.lora_{side}.weight"] = tensors[f"{Q}.lora_{side}.weight"].clone()
        else:
            tensors[name] = torch.ones(4, 24) if "lora_A" in name else torch.ones(24, 24)

    files.edit(adapter, change)
    with pytest.raises(CompatibilityError, match=said) as caught:
        open_deltas(adapter, open_base(base), "a", "0" * 64)
    assert caught.value.help
