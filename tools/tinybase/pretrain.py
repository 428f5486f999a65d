"""The pre-training loop: warm-up, constant rate, decay; resumable, seeded, logged."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from tools.tinybase.mixture import FIRST_STAGE, stream
from tools.tinybase.model import Shape, Weights, initial, loss_of
from tools.tinybase.tokenizer import Packer


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast: ``steps`` in all, the last ``decay`` of them with falling rate."""

    steps: int = 5_600
    decay: int = 1_600
    warmup: int = 200
    rate: float = 3e-3
    weight_decay: float = 0.05
    packs: int = 54
    length: int = 96
    seed: int = 1
    save_every: int = 250
    log_every: int = 50
    compiled: bool = True


@dataclass(slots=True)
class State:
    """What a checkpoint holds."""

    step: int
    weights: Weights
    optimizers: list[torch.optim.Optimizer]


def rate_at(plan: Plan, step: int) -> float:
    """Return the factor on the rate: linear warm-up, constant, linear decay to zero."""
    rising = min(1.0, (step + 1) / plan.warmup)
    return rising * min(1.0, (plan.steps - step) / max(plan.decay, 1))


def start(plan: Plan, shape: Shape) -> State:
    """Return the state before the first step: Muon for matrices, AdamW for all else."""
    weights = {k: w.requires_grad_() for k, w in initial(shape, plan.seed).items()}
    matrices = [w for k, w in weights.items() if w.dim() == 2 and k != "embed"]
    others = [w for k, w in weights.items() if w.dim() == 1 or k == "embed"]
    muon = torch.optim.Muon(
        matrices, lr=plan.rate, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(others, lr=plan.rate, weight_decay=0.0, betas=(0.9, 0.98))
    return State(0, weights, [muon, adam])


def save(state: State, path: Path) -> None:
    """Write the checkpoint whole or not at all: one safetensors file with the step as metadata.

    The optimizers' hyper-parameters are left out, since the plan gives them again.
    """
    tensors = {f"weights/{name}": weight.detach() for name, weight in state.weights.items()}
    for number, optimizer in enumerate(state.optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{index}/{key}": t for key, t in values.items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"state": json.dumps({"step": state.step})})
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)


def restore(state: State, path: Path) -> None:
    """Load a checkpoint written by ``save`` into ``state``."""
    optimizers: list[dict[int, dict[str, Tensor]]] = [{} for _ in state.optimizers]
    with safe_open(path, "pt") as file, torch.no_grad():
        state.step = json.loads(file.metadata()["state"])["step"]
        for name, weight in state.weights.items():
            weight.copy_(file.get_tensor(f"weights/{name}"))
        for name in file.keys():  # noqa: SIM118 (the file is no mapping)
            kind, *place = name.split("/")
            if kind == "optimizer":
                number, index, key = place
                values = optimizers[int(number)].setdefault(int(index), {})
                values[key] = file.get_tensor(name)
    for optimizer, values in zip(state.optimizers, optimizers, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})


def _log(path: Path, record: dict[str, float]) -> None:
    with path.open("a") as handle:
        handle.write(json.dumps(record) + "\n")
    print(" ".join(f"{k} {v:.6g}" for k, v in record.items()), flush=True)


def _packer(plan: Plan, tokenizer: Tokenizer, step: int) -> Packer:
    """Return the data from ``step`` to the next checkpoint: a function of seed and step alone."""
    source = stream(plan.seed * 1_000_003 + step, 1 if step < FIRST_STAGE else 2)
    return Packer(tokenizer, source, plan.seed + step, plan.packs, plan.length)


def pretrain(plan: Plan, shape: Shape, tokenizer: Tokenizer, work: Path) -> State:
    """Train from the newest checkpoint in ``work`` (or from the start) to ``plan.steps``."""
    state = start(plan, shape)
    checkpoint = work / "checkpoint.safetensors"
    if checkpoint.exists():
        restore(state, checkpoint)
    (work / "plan.json").write_text(json.dumps({"plan": asdict(plan), "shape": asdict(shape)}))
    loss_function = torch.compile(loss_of, dynamic=False) if plan.compiled else loss_of
    total, since, packer = torch.zeros(()), time.monotonic(), None
    while state.step < plan.steps:
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * rate_at(plan, state.step)
        if packer is None or state.step % plan.save_every == 0:
            packer = _packer(plan, tokenizer, state.step)
        b = packer.batch()
        loss = loss_function(
            state.weights, b.ids, b.rows, b.where, b.wanted, b.counted, shape, torch.bfloat16
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.weights.values(), 1.0)
        for optimizer in state.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
        state.step += 1
        if state.step % plan.log_every == 0:
            seconds = time.monotonic() - since
            mean = round(float(total) / plan.log_every, 5)
            record = {"step": state.step, "loss": mean, "seconds": round(seconds, 1)}
            _log(work / "log.jsonl", record)
            total, since = torch.zeros(()), time.monotonic()
        if state.step % plan.save_every == 0 or state.step == plan.steps:
            save(state, checkpoint)
    return state
