"""Small artifacts for the tests of the store; runs as a script too, to be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from additive.artifacts.manifest import (
    Artifact,
    BaseIdentity,
    CurvePoint,
    DataEntry,
    ManifestDraft,
    Parent,
    Snapshot,
)
from additive.artifacts.seal import base_digest
from additive.artifacts.store import Store
from additive.tensors.writer import write_file


def write_adapter(directory: Path, value: float = 1.0, rank: int = 2) -> None:
    """A directory that looks like one PEFT saved: config, weights, tokenizer, template."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(shape, generator=generator) for shape in ((rank, 8), (8, rank)))
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": value * b}
    write_file(directory / "adapter_model.safetensors", tensors, {"format": "pt"})
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 4,
        "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "base",
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))


def write_rest(directory: Path) -> None:
    """Tokenizer and template beside an adapter."""
    tokenizer = {"model": {"vocab": {"a": 0}}, "padding": None, "truncation": None}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "tokenizer_config.json").write_text(json.dumps({"eos_token": "a"}))
    (directory / "chat_template.jinja").write_text("{{ messages }}")


def some_base() -> BaseIdentity:
    weights, config = "1" * 64, "2" * 64
    return BaseIdentity(
        id="tiny", weights=weights, config=config, digest=base_digest(weights, config, None, None)
    )


def some_draft(name: str = "math", **changes: object) -> ManifestDraft:
    draft = ManifestDraft(
        kind="specialist",
        name=name,
        base=some_base(),
        parents=(Parent(name="older", digest="3" * 64, weight=0.5),),
        spec={"rank": 2, "learning_rate": 2e-4, "targets": ["q_proj"]},
        data={"train.jsonl": DataEntry(sha256="4" * 64, rows=10, license="CC0-1.0")},
        seed=7,
        curve=(CurvePoint(step=5, suite="math", score=0.25, low=0.1, high=0.4, loss=1.5),),
        saturation={"outcome": "saturated", "step": 5},
        snapshots=(Snapshot(fraction=0.5, step=3, path="snapshots/0.5"),),
        norms={"model.layers.0.self_attn.q_proj.weight": 0.125},
        notes=("made for a test",),
        versions={"additive": "0"},
        hardware={"cpu": 1},
        times={"started": "2026-01-01T00:00:00+00:00"},
    )
    return draft.model_copy(update=changes)


def outdate(artifact: Path) -> None:
    """Make an artifact one that version 0.1.0 froze."""
    path = artifact / "manifest.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"additive.manifest/2"', '"additive.manifest/1"'))


def freeze_one(store: Store, value: float = 1.0, name: str = "math", **changes: object) -> Artifact:
    """Write and freeze one adapter with a snapshot."""
    with store.staging("specialist", name) as staged:
        write_adapter(staged, value)
        write_rest(staged)
        write_adapter(staged / "snapshots" / "0.5", value / 2)
        return store.freeze(staged, some_draft(name, **changes))


if __name__ == "__main__":
    print(freeze_one(Store(Path(sys.argv[1]))).digest)
