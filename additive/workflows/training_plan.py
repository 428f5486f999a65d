"""`additive train --plan`: what training would take, from headers and rows; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from additive.artifacts.artifact import Artifact
from additive.types.quantities import size_text, time_text
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.spec.domain import DomainSpec
    from additive.train.job import TrainJob
    from additive.train.plan import TrainPlan


@dataclass(frozen=True)
class TrainingPlan:
    """A training as it would be run; steps, time, memory and disk are upper ends.

    `reused` is the specialist that answers the request already; `started` is the step of an
    interrupted run that would be gone on with, 0 without one.
    """

    name: str
    spec: DomainSpec
    reused: Artifact | None
    started: int
    recall_rows: int
    numbers: TrainPlan

    @property
    def would(self) -> str:
        """What the verb would do: reuse, continue or train."""
        return "reuse" if self.reused else "continue" if self.started else "train"

    def document(self) -> dict[str, Any]:
        """As `additive train --plan --json` prints it."""
        return {
            "name": self.name,
            "would": self.would,
            "reuses": self.reused.reference if self.reused else None,
            "continues_from": self.started or None,
            "recall_rows": self.recall_rows,
            **self.numbers.record(),
        }

    def text(self) -> str:
        """The plan for people."""
        numbers, spec = self.numbers, self.spec
        share = numbers.trained / numbers.parameters
        speed = "as measured" if numbers.measured else "at an assumed speed"
        return "\n".join(
            [
                f"train    {self.name}",
                f"rows     {numbers.rows} of its own{self._recalled()}",
                f"adapt    {_adaptation(spec)}: {_millions(numbers.trained)} parameters are trained"
                f" ({share:.0%} of the base's {_millions(numbers.parameters)})",
                f"device   {numbers.device}",
                f"steps    {numbers.steps} at most, {spec.train.batch} rows"
                f" ({numbers.tokens_per_step} tokens) each; evaluated every"
                f" {spec.saturation.every}; saturation ends it earlier",
                f"time     {time_text(numbers.seconds)} at most, {speed}",
                f"memory   {size_text(numbers.memory_bytes)} over the imports, at most",
                f"disk     {size_text(numbers.disk_bytes)} while it runs, at most",
                f"state    {self._state()}",
            ]
        )

    def _recalled(self) -> str:
        share = self.spec.recall.resolved_share(bool(self.recall_rows)) if self.recall_rows else 0
        if not share:
            return ", no recall"
        return f", and {self.recall_rows} of the base's as recall ({share:.0%} of every batch)"

    def _state(self) -> str:
        if self.reused:
            return f"nothing to do: {self.reused.reference} is there"
        return f"would go on from step {self.started}" if self.started else "would be trained"


def plan_training(workspace: Workspace, name: str) -> TrainingPlan:
    """What training a domain would take.

    Raises: UnknownName, SpecError.
    """
    from additive.models.loading import load_tokenizer
    from additive.models.template import encode
    from additive.train.device import choose_device
    from additive.train.plan import estimate, read_shape
    from additive.workflows.training import find_trained, training_job, training_request
    from additive.workspace.inputs import base_identity

    base = base_identity(workspace)
    job = training_job(workspace, name, base)
    tokenizer = load_tokenizer(job.base_directory)
    rows = [*job.rows, *(row for row in job.recall if row.completion)]
    prompts, answers = [row.prompt for row in rows], [row.completion or "" for row in rows]
    lengths = [len(example) for example in encode(tokenizer, prompts, answers, job.spec.system)]
    made = estimate(
        job.spec,
        read_shape(job.base_directory),
        choose_device(job.spec.train),
        len(job.rows),
        sum(lengths) / len(lengths),
        max(lengths),
        job.extend,
    )
    found = find_trained(workspace, name, base, training_request(workspace, name, base))
    recalled = min(len(job.recall), job.spec.recall.rows or len(job.recall))
    return TrainingPlan(name, job.spec, found, _started(job), recalled, made)


def _started(job: TrainJob) -> int:
    from additive.train.checkpoint import resumable
    from additive.train.run import run_root

    newest = next(resumable(run_root(job) / "checkpoints"), None)
    return newest.step if newest else 0


def _adaptation(spec: DomainSpec) -> str:
    adapt = spec.adapt
    return f"lora, rank {adapt.rank}" if adapt.kind == "lora" else "full fine-tune"


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
