"""Train one domain and freeze it, or plan it.

    train_domain(workspace, "math").artifact.path   what PEFT or transformers load
    plan_training(workspace, "math").text()         what it would take; nothing is written

Held-out items in a domain's rows are refused first, whichever suite of the workspace they are in.
The run in `.additive/runs` is started or continued, and removed when the specialist is frozen.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.artifacts.locks import lock
from additive.artifacts.manifest import (
    Artifact,
    BaseIdentity,
    CurvePoint,
    DataEntry,
    ManifestDraft,
    Snapshot,
)
from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.deltas.source import delta_norms
from additive.models.loading import load_tokenizer
from additive.models.template import encode
from additive.spec.domain import DomainSpec
from additive.spec.rows import count_rows
from additive.train.checkpoint import resumable
from additive.train.data import read_rows, rows_digest
from additive.train.device import choose_device
from additive.train.job import TrainJob
from additive.train.plan import TrainPlan, estimate, read_shape
from additive.train.result import TrainResult
from additive.train.run import run_root, train
from additive.train.validation import training_score
from additive.types.digests import digest_file, digest_json
from additive.types.progress import Listener, Progress, silent
from additive.types.references import check_name
from additive.types.units import size_text, time_text
from additive.verbs.leaks import refuse_leaks
from additive.verbs.trained import TrainedDomain, find_trained, refuse_adopted, training_request
from additive.workspace import environment
from additive.workspace.inputs import base_identity, split_rows, update_lock
from additive.workspace.workspace import Workspace


def train_domain(
    workspace: Workspace, name: str, progress: Listener = silent, *, wait: bool = False
) -> TrainedDomain:
    """The specialist of a domain as its files are now, trained if need be.

    Raises: SpecError, UnknownName; LeakError when held-out items are in its data; LockedError when
    another run is on it (unless `wait`); what training and freezing raise.
    """
    check_name(name)
    base = base_identity(workspace)
    request = training_request(workspace, name, base)
    artifact = find_trained(workspace, name, request)
    if artifact is not None:
        return TrainedDomain(artifact, reused=True)
    refuse_leaks(workspace, name)
    topic = f"train {name}"
    path = workspace.locks / f"domain-{name}.lock"
    seconds = None if wait else 0.0
    with lock(path, f"domain {name}", seconds, lambda line: progress(Progress(topic, line))):
        artifact = find_trained(workspace, name, request)
        if artifact is not None:
            return TrainedDomain(artifact, reused=True)
        update_lock(workspace, base)
        workspace.store.reclaim()
        job = training_job(workspace, name, base)
        started = environment.now()
        rows = split_rows(workspace, name, "validation")
        files = workspace.data_files(name, "validation")
        score = training_score(load_tokenizer(job.base_directory), rows, files, job.spec)
        result = train(job, score, progress)
        artifact = _freeze(workspace, job, result, base, request, started)
    text = f"{job.spec.adapt.kind} frozen as {artifact.reference}"
    progress(Progress(topic, text, lasting=True))
    shutil.rmtree(run_root(job), ignore_errors=True)  # its curve is in the manifest
    return TrainedDomain(artifact, reused=False)


def training_job(workspace: Workspace, name: str, base: BaseIdentity) -> TrainJob:
    """The job of a domain, with all rows read.

    Raises: SpecError for rows that cannot be read; UsageError for an adopted domain.
    """
    refuse_adopted(workspace, name)
    spec = workspace.domain(name)
    recall = workspace.recall_file()
    rows = read_rows(recall, prompts_only=True).rows if recall else ()
    return TrainJob(
        name=name,
        spec=spec,
        base_directory=workspace.base_directory(),
        base_id=base.id if not Path(base.id).is_absolute() else Path(base.id).name,
        base_digest=base.digest,
        run_directory=workspace.runs / name,
        cache=workspace.cache / "recall",
        rows=split_rows(workspace, name, "train"),
        recall=rows,
        validation_digest=rows_digest(split_rows(workspace, name, "validation")),
    )


def _freeze(
    workspace: Workspace,
    job: TrainJob,
    result: TrainResult,
    base: BaseIdentity,
    request: Mapping[str, Any],
    started: str,
) -> Artifact:
    with workspace.store.staging("specialist", job.name) as staged:
        shutil.copytree(result.directory, staged, dirs_exist_ok=True)
        snapshots = []
        for snapshot in result.snapshots:
            if snapshot.fraction == 1.0:
                continue
            path = f"snapshots/{snapshot.fraction:g}"
            shutil.copytree(snapshot.directory, staged / path)
            snapshots.append(Snapshot(fraction=snapshot.fraction, step=snapshot.step, path=path))
        draft = ManifestDraft(
            kind="specialist",
            name=job.name,
            base=base,
            spec=dict(request),
            data=_data_entries(workspace, job.name),
            seed=job.spec.train.seed,
            curve=tuple(
                CurvePoint(
                    step=p.step, suite=p.suite, score=p.score, low=p.low, high=p.high, loss=p.loss
                )
                for p in result.curve
            ),
            saturation={
                **result.saturation,
                "outcome": result.outcome,
                "plateau_step": result.plateau_step,
                "last_step": result.last_step,
                "score": result.score,
            },
            snapshots=tuple(snapshots),
            norms=_norms(job, staged),
            notes=result.notes,
            versions=environment.versions(),
            hardware=environment.hardware(str(result.record.get("device", ""))),
            times={"started": started, "frozen": environment.now(), "record": result.record},
        )
        return workspace.store.freeze(staged, draft)


def _data_entries(workspace: Workspace, name: str) -> dict[str, DataEntry]:
    license = workspace.domain(name).data.license or "unknown"
    paths = [*workspace.data_files(name, "train"), *workspace.data_files(name, "validation")]
    return {
        workspace.data_name(name, path): DataEntry(
            sha256=digest_file(path), rows=count_rows(path), license=license
        )
        for path in paths
    }


def _norms(job: TrainJob, directory: Path) -> dict[str, float]:
    with (
        closing(open_base(job.base_directory)) as base,
        closing(open_deltas(directory, base, job.name, digest_json(job.name))) as source,
    ):
        return delta_norms(source)


@dataclass(frozen=True)
class TrainingPlan:
    """A training as it would be run; steps, time, memory and disk are upper bounds.

    reused   the specialist that answers the request already
    started  the step from which an interrupted run would continue, 0 without one
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
        speed = "at the measured speed" if numbers.measured else "at an assumed speed"
        return "\n".join(
            [
                f"train    {self.name}",
                f"rows     {numbers.rows} of its own{self._recalled()}",
                f"adapt    {_adaptation(spec)}: {_millions(numbers.trained)} parameters are trained"
                f" ({share:.0%} of the base's {_millions(numbers.parameters)})",
                f"device   {numbers.device}",
                f"steps    {numbers.steps} at most, {spec.train.batch_size} rows"
                f" ({numbers.tokens_per_step} tokens) each; evaluated every"
                f" {spec.saturation.eval_steps}; saturation ends it earlier",
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
        return f"would continue from step {self.started}" if self.started else "would be trained"


def plan_training(workspace: Workspace, name: str) -> TrainingPlan:
    """What training a domain would take.

    Raises: UnknownName, SpecError.
    """
    base = base_identity(workspace)
    job = training_job(workspace, name, base)
    tokenizer = load_tokenizer(job.base_directory)
    rows = [*job.rows, *(row for row in job.recall if row.completion)]
    prompts, answers = [row.prompt for row in rows], [row.completion or "" for row in rows]
    lengths = [len(example) for example in encode(tokenizer, prompts, answers, job.spec.system)]
    numbers = estimate(
        job.spec,
        read_shape(job.base_directory),
        choose_device(job.spec.train),
        len(job.rows),
        sum(lengths) / len(lengths),
        max(lengths),
        job.extend,
    )
    reused = find_trained(workspace, name, training_request(workspace, name, base))
    checkpoint = next(resumable(run_root(job) / "checkpoints"), None)
    started = checkpoint.step if checkpoint else 0
    recall_rows = min(len(job.recall), job.spec.recall.rows or len(job.recall))
    return TrainingPlan(name, job.spec, reused, started, recall_rows, numbers)


def _adaptation(spec: DomainSpec) -> str:
    adapt = spec.adapt
    return f"lora, rank {adapt.rank}" if adapt.kind == "lora" else "full fine-tune"


def _millions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
