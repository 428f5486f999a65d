"""The one place that knows TRL: its SFTTrainer, fed with our batches, stopped by our rule.

TRL and transformers do the forward and backward passes, accumulation, clipping, mixed precision and
several processes. Ours are the order of the rows, the learning rate, what is random, checkpoints
and evaluation; all of them functions of the step, so that a resumed run repeats an undisturbed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from additive.models.template import Encoded
from additive.train.batches import BatchPlan
from additive.train.device import Device
from additive.train.preflight import labels

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


WIDTH_STEP = 8  # on a CPU every new shape costs more than the padding: a kernel is made for it


_DIRECT_LOGITS = 1 << 27  # numbers: up to 512 MiB of fp32 logits the plain loss is faster


class Steps(Protocol):
    """What the loop asks at each step; a step is named by the steps taken before it."""

    def before(self, step: int, rank: int) -> None:
        """Set what the step depends on: the learning rate and what is random."""
        ...

    def after(self, step: int) -> bool:
        """Look at the weights after `step` steps; whether the run is over."""
        ...


@dataclass(frozen=True)
class Feed:
    """The examples and which of them each step sees, from step `start` to at most `stop`."""

    examples: Sequence[Encoded]
    plan: BatchPlan
    start: int
    stop: int
    pad: int


def configuration(output: Path, device: Device) -> SFTConfig:
    """TRL's settings with everything that reports, saves, evaluates or calls home switched off.

    Making it joins the process group when several processes were started by torchrun.
    """
    return SFTConfig(
        output_dir=str(output),
        use_cpu=device.kind == "cpu",
        bf16=device.dtype == "bfloat16",
        fp16=device.dtype == "float16",
        gradient_checkpointing=False,
        average_tokens_across_devices=True,
        max_grad_norm=1.0,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        report_to="none",
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        log_level="error",
        trust_remote_code=False,
    )


class CompletionTrainer(SFTTrainer):
    """SFTTrainer over ready examples: the loss is the mean over the answers' tokens."""

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: SFTConfig,
        tokenizer: PreTrainedTokenizerBase,
        feed: Feed,
        steps: Steps,
        optimizer: torch.optim.Optimizer,
        loss_sum: torch.Tensor | None = None,
    ) -> None:
        args.max_steps = feed.stop - feed.start + 1
        super().__init__(
            model=model,
            args=args,
            train_dataset=Dataset.from_dict({"input_ids": [[0]], "labels": [[0]]}),
            data_collator=_as_is,
            processing_class=tokenizer,
            optimizers=(optimizer, LambdaLR(optimizer, lambda _: 1.0)),
        )
        self.remove_callback(PrinterCallback)
        self.feed, self.steps = feed, steps
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self.model_accepts_loss_kwargs = True  # the loss is divided by the whole batch's tokens
        self.loss_sum = torch.zeros((), dtype=torch.float64) if loss_sum is None else loss_sum

    def get_train_dataloader(self) -> DataLoader:
        """Our micro-batches of this process, in order; the whole run is one pass."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        loop = _Loop(self.feed, self.steps, self.args.gradient_accumulation_steps, world, rank)
        return DataLoader(loop, batch_size=None, collate_fn=_as_is)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """−Σ log p over the trained tokens of a micro-batch, divided by those of the whole
        batch."""
        if self.aux_loss_enabled or inputs["labels"].numel() * self.vocabulary > _DIRECT_LOGITS:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        asked = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        logits = model(**asked, use_cache=False).logits[:, :-1]
        targets = inputs["labels"][:, 1:]
        trained = targets != -100
        total = torch.nn.functional.cross_entropy(
            logits[trained].float(), targets[trained], reduction="sum"
        )
        scale = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return total * scale / torch.as_tensor(num_items_in_batch)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """As TRL's; keeps the sum of the losses since they were last asked for."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.loss_sum = self.loss_sum.to(loss.device) + loss.detach()
        return loss

    def take_loss(self) -> float:
        """The sum of the steps' losses since the last call, the mean over all processes."""
        total: Any = self.accelerator.reduce(self.loss_sum.clone(), reduction="mean")
        self.loss_sum = torch.zeros_like(self.loss_sum)
        return float(total)

    def _send_telemetry(self) -> None:
        """Nobody is told."""


class _Loop(IterableDataset):
    """The run as a loop: before a step, its micro-batches, after it.

    The trainer asks for a step's micro-batches when the step before is done, so what stands after
    `yield` runs on the new weights. It asks once more after the last step, which is why the length
    has one step more than the run can have. A step's rows are dealt to the processes in turn.
    """

    def __init__(self, feed: Feed, steps: Steps, per_step: int, world: int, rank: int) -> None:
        self.feed, self.steps, self.per_step = feed, steps, per_step
        self.world, self.rank = world, rank

    def __len__(self) -> int:
        return (self.feed.stop - self.feed.start + 1) * self.per_step

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        feed = self.feed
        widest = max(len(example) for example in feed.examples)
        for step, rows in enumerate(feed.plan.steps(feed.start, feed.stop), start=feed.start):
            self.steps.before(step, self.rank)
            mine = rows[self.rank :: self.world]
            for low, high in _cuts(len(mine), self.per_step):
                yield collate([feed.examples[row] for row in mine[low:high]], feed.pad, widest)
            if self.steps.after(step + 1):
                return


def collate(examples: Sequence[Encoded], pad: int, widest: int) -> dict[str, torch.Tensor]:
    """One micro-batch, padded on the right; each entry int64 of shape [rows, width].

    The width is the longest example's length, rounded up to a multiple of `WIDTH_STEP`, but at most
    `widest`, the length of the longest example of all: a model may have no more positions.
    """
    longest = max(len(example) for example in examples)
    width = min(-(-longest // WIDTH_STEP) * WIDTH_STEP, widest)
    ids = torch.full((len(examples), width), pad, dtype=torch.int64)
    targets = torch.full((len(examples), width), -100, dtype=torch.int64)
    mask = torch.zeros((len(examples), width), dtype=torch.int64)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.ids)
        targets[row, : len(example)] = torch.tensor(labels(example))
        mask[row, : len(example)] = 1
    return {"input_ids": ids, "labels": targets, "attention_mask": mask}


def _cuts(count: int, parts: int) -> list[tuple[int, int]]:
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))


def _as_is(batch: Any) -> Any:
    return batch
