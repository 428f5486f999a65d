"""More inputs that a merge refuses before any work."""

from __future__ import annotations

import pytest

from additive.artifacts.manifest import identify_base
from additive.errors import CompatibilityError, IntegrityError, ResourceError, SecurityError
from additive.merge.engine import execute
from additive.merge.plan import plan
from tests.merge import files
from tests.merge.making import plan_of, recipe, source

Q = "base_model.model.model.layers.0.self_attn.q_proj"


def test_a_frozen_source_belongs_to_its_base(tmp_path, base):
    from additive.artifacts.manifest import ManifestDraft
    from additive.artifacts.store import Store

    identity = identify_base(base, "base")
    store = Store(tmp_path / "store")
    with store.staging("specialist", "math") as staged:
        files.write_lora(staged, 1)
        artifact = store.freeze(
            staged, ManifestDraft(kind="specialist", name="math", base=identity)
        )
    made = recipe(source(artifact.path, name="math"))
    assert plan(made, base, identity).touched
    other = files.write_base(tmp_path / "other", seed=9)
    with pytest.raises(CompatibilityError, match=r"base weights is .*; the base has") as caught:
        plan(made, other, identify_base(other, "other"))
    assert "additive train math" in (caught.value.help or "")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(CompatibilityError, match=r"chat template is none"):
        plan(made, base, identify_base(base, "base"))


def test_a_full_disk_is_said_before_the_work(tmp_path, base, monkeypatch):
    import shutil

    adapter = files.write_lora(tmp_path / "math", 1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match=r"disk has 1.0 kB free; the merge takes"):
        plan(recipe(source(adapter)), base, disk=tmp_path)


def test_hostile_files(tmp_path, base):
    adapter = files.write_lora(tmp_path / "math", 1)
    (adapter / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises((IntegrityError, SecurityError)):
        plan_of(base, adapter)
    full = files.write_fine_tune(tmp_path / "full", base, 1, shards=2)
    index = full / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    with pytest.raises(SecurityError):
        plan_of(base, full)


def test_inputs_that_change_after_the_plan_are_seen(tmp_path, base):
    adapter = files.write_lora(tmp_path / "math", 1)
    made = plan(recipe(source(adapter)), base)
    files.edit(adapter, lambda t: t.pop(f"{Q}.lora_A.weight"))
    (tmp_path / "out").mkdir()
    with pytest.raises(CompatibilityError):
        execute(made, tmp_path / "out")
