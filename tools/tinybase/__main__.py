"""``python -m tools.tinybase --out DIR``: make the tiny base from nothing, or resume."""

from __future__ import annotations

import argparse
import os
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer

from tools.tinybase.card import write_card
from tools.tinybase.mixture import stream
from tools.tinybase.model import Shape, export
from tools.tinybase.pretrain import Plan, pretrain
from tools.tinybase.tokenizer import train_tokenizer

TOKENIZER_ROWS = 60_000
DEFAULTS = Plan()


def _tokenizer(work: Path, seed: int) -> Tokenizer:
    path = work / "tokenizer.json"
    if not path.exists():
        texts = (
            t for row in islice(stream(seed), TOKENIZER_ROWS) for t in (row.prompt, row.completion)
        )
        train_tokenizer(texts).save(str(path))
    return Tokenizer.from_file(str(path))


def main() -> None:
    """Parse the arguments, train, export."""
    parser = argparse.ArgumentParser(prog="python -m tools.tinybase", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory of the finished base")
    parser.add_argument("--work", type=Path, help="checkpoints and log (default: OUT.work)")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--steps", type=int, default=DEFAULTS.steps)
    parser.add_argument("--decay", type=int, default=DEFAULTS.decay)
    parser.add_argument("--rate", type=float, default=DEFAULTS.rate)
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    work = options.work or options.out.with_suffix(".work")
    if (work / "checkpoint.safetensors").exists() and not options.resume:
        parser.error(f"{work} holds a checkpoint; add --resume, or remove it")
    work.mkdir(parents=True, exist_ok=True)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(options.threads)
    tokenizer = _tokenizer(work, options.seed)
    shape = Shape(vocabulary=tokenizer.get_vocab_size())
    plan = Plan(steps=options.steps, decay=options.decay, rate=options.rate, seed=options.seed)
    state = pretrain(plan, shape, tokenizer, work)
    export(state.weights, shape, tokenizer, options.out)
    count = sum(weight.numel() for weight in state.weights.values())
    write_card(options.out, work / "log.jsonl", plan, shape, count)


if __name__ == "__main__":
    main()
