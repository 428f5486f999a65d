"""A folder is recognised by what its trainer leaves; what is no adapter and no model is sent on."""

from __future__ import annotations

import json

import pytest

from additive.adopt import recognise
from additive.errors import AdditiveError, IntegrityError, SecurityError, UsageError
from tests.merge import files


@pytest.fixture
def folder(tmp_path):
    return files.write_lora(tmp_path / "saves" / "math-lora", 1)


def _readme(*tags):
    return "---\nlibrary_name: peft\ntags:\n" + "".join(f"- {tag}\n" for tag in tags) + "---\n"


@pytest.mark.parametrize(
    ("trainer", "name", "text"),
    [
        ("PEFT", "notes.txt", ""),
        ("TRL", "README.md", _readme("base_model:x", "sft", "trl")),
        ("Unsloth", "README.md", _readme("unsloth", "trl")),
        ("axolotl", "README.md", _readme("axolotl", "trl")),
        ("LLaMA-Factory", "README.md", _readme("llama-factory", "lora")),
        ("LLaMA-Factory", "trainer_log.jsonl", "{}"),
    ],
)
def test_the_trainer_is_known_by_its_marks(folder, trainer, name, text):
    (folder / name).write_text(text)
    found = recognise(folder)
    assert (found.trainer, found.kind) == (trainer, "adapter")
    assert name in found.left


def test_unsloth_writes_itself_into_the_configuration(folder):
    path = folder / "adapter_config.json"
    mapping = {"base_model_class": "Qwen3ForCausalLM", "unsloth_fixed": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_mapping": mapping}))
    assert recognise(folder).trainer == "Unsloth"


def test_the_base_that_a_folder_claims_is_read_where_each_kind_says_it(folder, tmp_path):
    assert recognise(folder).claims is None
    files.configure(folder, base_model_name_or_path="org/base")
    assert recognise(folder).claims == "org/base"
    model = files.write_model(tmp_path / "m", files.values(0), _name_or_path="org/start")
    assert recognise(model).claims == "org/start"


def test_debris_is_left_out_and_licences_are_kept(folder):
    for name in ("optimizer.pt", "training_args.bin", "config.json", "tokenizer.json", "LICENSE"):
        (folder / name).write_text("{}")
    (folder / "checkpoint-100").mkdir()
    (folder / "runs").mkdir()
    found = recognise(folder)
    assert found.kept == ("LICENSE", "adapter_config.json", "adapter_model.safetensors")
    assert found.left == (
        "checkpoint-100/", "config.json", "optimizer.pt", "runs/", "tokenizer.json",
        "training_args.bin",
    )  # fmt: skip


def test_a_sharded_model_keeps_its_shards_and_words(tmp_path):
    model = files.write_model(tmp_path / "m", files.values(0), shards=2)
    (model / "optimizer.pt").write_text("x")
    found = recognise(model)
    assert (found.kind, found.trainer, found.left) == ("model", "transformers", ("optimizer.pt",))
    assert [name for name in found.kept if name.startswith("model-")] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert {"config.json", "tokenizer.json", "model.safetensors.index.json"} <= set(found.kept)


def _refusal(directory, kind):
    with pytest.raises(kind) as caught:
        recognise(directory)
    return caught.value


def test_a_file_is_sent_to_its_folder(folder):
    found = _refusal(folder / "adapter_model.safetensors", UsageError)
    assert found.help == f"additive adopt {folder} --as NAME"


def test_an_empty_folder_and_one_with_other_things_say_what_is_missing(tmp_path):
    assert "folder is empty; expected adapter_config.json" in str(
        _refusal(tmp_path, IntegrityError)
    )
    (tmp_path / "notes.txt").write_text("x")
    assert "has only notes.txt; expected" in str(_refusal(tmp_path, IntegrityError))


def test_a_command_that_is_offered_can_be_pasted(tmp_path):
    files.write_lora(tmp_path / "my saves" / "checkpoint-20", 1)
    found = _refusal(tmp_path / "my saves", IntegrityError)
    assert found.help == f"additive adopt '{tmp_path}/my saves/checkpoint-20' --as NAME"


def test_a_folder_of_checkpoints_names_the_newest_one(tmp_path):
    for step in (20, 100, 60):
        files.write_lora(tmp_path / f"checkpoint-{step}", 1)
    found = _refusal(tmp_path, IntegrityError)
    assert "but in checkpoint-20, checkpoint-60, checkpoint-100" in str(found)
    assert found.help == f"additive adopt {tmp_path / 'checkpoint-100'} --as NAME"


def test_pickles_are_never_read_and_the_mend_is_said(folder, tmp_path):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    found = _refusal(folder, SecurityError)
    assert "weights are adapter_model.bin, a pickle" in str(found)
    assert "save_pretrained" in str(found.help)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "pytorch_model-00001-of-00002.bin").write_bytes(b"x")
    assert "pytorch_model-00001-of-00002.bin, a pickle" in str(_refusal(model, SecurityError))


def test_missing_weights_two_things_at_once_and_other_libraries(folder):
    mlx = json.dumps({"lora_parameters": {"rank": 8}})
    config = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text(mlx)
    assert "adapter of mlx-lm" in str(_refusal(folder, AdditiveError))
    (folder / "adapter_config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(b"x")
    assert "an adapter and a whole model" in str(_refusal(folder, AdditiveError))
    (folder / "model.safetensors").unlink()
    (folder / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors is missing" in str(_refusal(folder, IntegrityError))
