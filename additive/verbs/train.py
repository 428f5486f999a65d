"""Train one domain and freeze it: what is asked for, whether it is there, the run, the artifact.

A domain's request is everything that decides its specialist (spec, data, recall, base) by digest. A
frozen specialist with the same request is the answer; otherwise the run in `.additive/runs` is
started or continued.

A domain's rows against every held-out item of the workspace, whoever's it is.

`additive train --plan`: what training would take, from headers and rows; nothing is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.intact import is_intact
from additive.artifacts.locks import lock
from additive.artifacts.manifest import (
    Artifact,
    BaseIdentity,
    CurvePoint,
    DataEntry,
    ManifestDraft,
    Snapshot,
)
from additive.errors import UsageError
from additive.spec.domain import DomainSpec
from additive.spec.rows import count_rows
from additive.types.digests import digest_file, digest_json
from additive.types.progress import Listener, Progress, silent
from additive.types.references import check_name
from additive.types.units import size_text, time_text
from additive.verbs.leaks import refuse_leaks
from additive.workspace import Workspace, environment
from additive.workspace.inputs import base_identity, split_rows, update_lock

if TYPE_CHECKING:
    from additive.train.job import TrainJob
    from additive.train.plan import TrainPlan
    from additive.train.result import TrainResult


GENERATED = "generated"


@dataclass(frozen=True)
class Trained:
    """A frozen specialist, and whether it was there before."""

    artifact: Artifact
    reused: bool

    def document(self) -> dict[str, Any]:
        """As `additive train --json` prints it."""
        manifest = self.artifact.manifest
        return {
            "name": self.artifact.name,
            "digest": self.artifact.digest,
            "path": str(self.artifact.path),
            "reused": self.reused,
            "outcome": manifest.saturation.get("outcome"),
            "plateau_step": manifest.saturation.get("plateau_step"),
            "validation": manifest.saturation.get("score"),
            "notes": list(manifest.notes),
        }

    def line(self) -> str:
        """What it is, in one line, and a line for each note."""
        said = self.document()
        state = "was there already" if self.reused else "frozen"
        notes = "".join(f"\n  note: {note}" for note in said["notes"])
        return (
            f"{self.artifact.reference}  {said['outcome']}, plateau at step {said['plateau_step']},"
            f" validation {said['validation']:.3f}  {state}{notes}"
        )


def train_domain(
    workspace: Workspace, name: str, progress: Listener = silent, *, wait: bool = False
) -> Trained:
    """The specialist of a domain as its files are now, trained if need be.

    Raises: SpecError, UnknownName; LeakError when held-out items are in its data; LockedError when
    another run is on it (unless `wait`); what training and freezing raise.
    """
    check_name(name)
    spec = workspace.domain(name)
    base = base_identity(workspace)
    request = training_request(workspace, name, base)
    found = find_trained(workspace, name, base, request)
    if found is not None:
        return Trained(found, reused=True)
    refuse_leaks(workspace, name)
    what = f"domain {name}"
    path = workspace.locks / f"domain-{name}.lock"
    with lock(
        path, what, None if wait else 0.0, lambda line: progress(Progress(f"train {name}", line))
    ):
        found = find_trained(workspace, name, base, request)
        if found is not None:
            return Trained(found, reused=True)
        update_lock(workspace, base)
        workspace.store.reclaim()
        job = training_job(workspace, name, base)
        started = environment.now()
        result = _run(workspace, job, progress)
        artifact = _freeze(workspace, job, result, base, request, started)
    progress(
        Progress(f"train {name}", f"{spec.adapt.kind} frozen as {artifact.reference}", lasting=True)
    )
    _clean(job)
    return Trained(artifact, reused=False)


def training_request(workspace: Workspace, name: str, base: BaseIdentity) -> dict[str, Any]:
    """Everything that decides a specialist, by value or digest; equals train equal ones.

    Raises: UsageError for an adopted domain.
    """
    _check_trained_here(workspace, name)
    files = [
        *workspace.data_files(name, "train"),
        *workspace.data_files(name, "validation"),
    ]
    recall = workspace.recall_file()
    spec = workspace.domain(name).model_dump(mode="json")
    spec.pop("description")
    spec.pop("adopted")
    return {
        **spec,
        "inputs": {
            "base": base.digest,
            "files": {path.name: digest_file(path) for path in files},
            "recall": digest_file(recall) if recall else None,
        },
    }


def find_trained(
    workspace: Workspace, name: str, base: BaseIdentity, request: Mapping[str, Any]
) -> Artifact | None:
    """The newest frozen specialist that answers a request; a damaged one is made again."""
    for artifact in reversed(workspace.store.current(name)):
        manifest = artifact.manifest
        if manifest.kind == "specialist" and manifest.spec == request:
            return artifact if is_intact(artifact, workspace.cache) else None
    return None


def training_job(workspace: Workspace, name: str, base: BaseIdentity) -> TrainJob:
    """The job of a domain: all rows read, nothing heavy imported.

    Raises: SpecError for rows that cannot be read; UsageError for an adopted domain.
    """
    _check_trained_here(workspace, name)
    from additive.train.data import read_rows, rows_digest
    from additive.train.job import TrainJob

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


def _check_trained_here(workspace: Workspace, name: str) -> None:
    if workspace.domain(name).adopted:
        raise UsageError(
            f"domain {name!r} is adopted; only a domain with its own rows can be trained",
            help=f"additive adopt DIR --as {name} takes in a new version of it",
        )


def _run(workspace: Workspace, job: TrainJob, progress: Listener) -> TrainResult:
    from additive.models.loading import load_tokenizer
    from additive.train.run import train
    from additive.train.validation import training_score

    rows = split_rows(workspace, job.name, "validation")
    files = workspace.data_files(job.name, "validation")
    score = training_score(load_tokenizer(job.base_directory), rows, files, job.spec)
    return train(job, score, progress)


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
        path.name: DataEntry(sha256=digest_file(path), rows=count_rows(path), license=license)
        for path in paths
    }


def _norms(job: TrainJob, directory: Path) -> dict[str, float]:
    from additive.deltas.base import open_base
    from additive.deltas.open import open_deltas
    from additive.deltas.source import delta_norms

    base = open_base(job.base_directory)
    source = open_deltas(directory, base, job.name, digest_json(job.name))
    try:
        return delta_norms(source)
    finally:
        source.close()
        base.close()


def _clean(job: TrainJob) -> None:
    """A frozen domain needs its run no more; its curve is in the manifest."""
    from additive.train.run import run_root

    shutil.rmtree(run_root(job), ignore_errors=True)


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
        return f"would go on from step {self.started}" if self.started else "would be trained"


def plan_training(workspace: Workspace, name: str) -> TrainingPlan:
    """What training a domain would take.

    Raises: UnknownName, SpecError.
    """
    from additive.models.loading import load_tokenizer
    from additive.models.template import encode
    from additive.train.device import choose_device
    from additive.train.plan import estimate, read_shape
    from additive.verbs.train import find_trained, training_job, training_request
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
