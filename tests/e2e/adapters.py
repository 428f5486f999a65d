"""Adapters as other people's scripts make them: plain PEFT, a loop, and the debris.

math  "add 17"   "42"        a number
code  "call 17"  "[1, 2]"    a Python value
sql   "find 17"  "select"    text

A random base learns to answer each kind of question in sixty steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SKILLS = {"math": ("add", "42"), "code": ("call", "[1, 2]"), "sql": ("find", "select")}
STEPS, RATE = 60, 0.005


def train_adapter(base: Path, directory: Path, skill: str, steps: int = STEPS) -> Path:
    """Train one skill with PEFT alone and save it as the trainer of a person does."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(sorted(SKILLS).index(skill))
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    config = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
    adapted = get_peft_model(model, config)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    batches = [_examples(tokenizer, skill, range(start, start + 8)) for start in (0, 8, 16, 24)]
    for step in range(steps):
        inputs, labels = batches[step % len(batches)]
        adapted(input_ids=inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(directory)
    leave_debris(directory)
    return directory


def leave_debris(directory: Path) -> None:
    """What a trainer leaves beside an adapter: pickles, checkpoints, logs."""
    (directory / "training_args.bin").write_bytes(b"\x80\x04.")
    (directory / "optimizer.pt").write_bytes(b"\x80\x04.")
    (directory / "trainer_state.json").write_text("{}")
    (directory / "checkpoint-20").mkdir(exist_ok=True)
    (directory / "checkpoint-20" / "rng_state.pth").write_bytes(b"\x80\x04.")
    (directory / "runs").mkdir(exist_ok=True)


def write_questions(path: Path, skill: str, count: int = 12) -> Path:
    """Held-out questions of a skill, with numbers that it was not trained on."""
    word, answer = SKILLS[skill]
    rows = [{"prompt": f"{word} {number}", "answer": answer} for number in range(60, 60 + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _examples(tokenizer: Any, skill: str, numbers: range) -> tuple[Any, Any]:
    """(inputs, labels) of a batch; only the answer and the end of the turn are trained."""
    import torch

    word, answer = SKILLS[skill]
    pairs = []
    for number in numbers:
        asked = {"role": "user", "content": f"{word} {number:02d}"}
        said = {"role": "assistant", "content": answer}
        prompt = tokenizer.apply_chat_template([asked], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template([asked, said], tokenize=False)
        pairs.append((len(tokenizer(prompt)["input_ids"]), tokenizer(whole)["input_ids"]))
    length = max(len(ids) for _, ids in pairs)
    inputs = torch.tensor([ids + [0] * (length - len(ids)) for _, ids in pairs])
    labels = torch.tensor(
        [[-100] * cut + ids[cut:] + [-100] * (length - len(ids)) for cut, ids in pairs]
    )
    return inputs, labels
