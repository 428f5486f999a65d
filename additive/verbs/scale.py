"""Choose the scale of a merge on validation rows: a few are tried on a resident model.

Score of a scale: the worst domain's merged − specialist on its own validation rows (whole answers,
teacher-forced). Of the scales within one standard error of the best, the one nearest to 1 is taken,
and of two as near the one with the lower mean loss: the deltas stay as they were trained unless the
rows say otherwise (the one-standard-error rule of Breiman et al. 1984, towards no rescaling). A
coarse grid first, then the neighbors of its choice. Held-out items are never read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from additive.artifacts.base_check import is_adopted
from additive.errors import UsageError
from additive.merge.planned import Plan
from additive.merge.resident import resident
from additive.merge.sources import Sources
from additive.models.attach import give_rows
from additive.models.kinds import PreTrainedModel
from additive.models.loading import load_model, load_tokenizer
from additive.train.validation import Score, completion_score
from additive.types.progress import Listener, Progress, silent
from additive.verbs.ask import load_named
from additive.verbs.merge_request import MergeRequest, RequestedSource
from additive.workspace.inputs import split_rows
from additive.workspace.workspace import Workspace

COARSE = (0.4, 0.6, 0.8, 1.0, 1.2)


STEP = 0.1


@dataclass(frozen=True)
class Trial:
    """One scale: each domain's score and mean loss, and the worst domain's merged − specialist with
    the standard error of that domain's score."""

    scale: float
    scores: Mapping[str, float]
    losses: Mapping[str, float]
    worst: float
    error: float = 0.0

    @property
    def loss(self) -> float:
        """The mean of the domains' losses."""
        return sum(self.losses.values()) / len(self.losses)


@dataclass(frozen=True)
class ScaleChoice:
    """The scale, and all that were tried, in rising order."""

    scale: float
    trials: tuple[Trial, ...]


def choose_scale(
    workspace: Workspace,
    request: MergeRequest,
    plan: Plan,
    sources: Sources,
    progress: Listener = silent,
) -> ScaleChoice:
    """Try scales of a planned merge and take the best.

    plan     at any scale
    sources  of the plan, open

    Raises: UsageError when no source has validation rows; what the engine refuses.
    """
    topic = f"merge {request.name}"
    domains = {file.domain for file in request.validation}
    judged = {s.artifact.name: s for s in request.sources if s.artifact.name in domains}
    if not judged:
        raise UsageError(
            "scale is chosen on validation rows, and no source has any in this workspace",
            help="give a number, for example --scale 1.0",
        )
    directory = workspace.base_directory()
    model, tokenizer = load_model(directory), load_tokenizer(directory)
    rows = next((tensor.shape[0] for tensor in plan.tensors if tensor.resized), None)
    if rows is not None:
        give_rows(model, rows)
    scores = {
        name: completion_score(
            tokenizer,
            split_rows(workspace, name, "validation"),
            system=workspace.domain(name).system,
        )
        for name in judged
    }
    references = {name: _reference(workspace, judged[name], scores[name]) for name in judged}
    with resident(model, directory, plan.recipe, sources) as switch:

        def attempt(scale: float) -> Trial:
            switch(scale)
            result = trial(model, scale, scores, references)
            text = ", ".join(f"{name} {score:.3f}" for name, score in result.scores.items())
            progress(Progress(topic, f"scale {scale:g} on validation: {text}"))
            return result

        choice = search(attempt)
    text = f"scale {choice.scale:g} chosen on validation rows"
    progress(Progress(topic, text, lasting=True))
    return choice


def search(attempt: Callable[[float], Trial]) -> ScaleChoice:
    """A coarse grid, then the neighbours of its choice.

    >>> search(lambda s: Trial(s, {"a": 1.0}, {"a": abs(s - 0.9)}, -abs(s - 0.9))).scale
    0.9
    """
    trials = {scale: attempt(scale) for scale in COARSE}
    center = _choice(trials)
    for neighbour in (round(center - STEP, 2), round(center + STEP, 2)):
        if neighbour not in trials:
            trials[neighbour] = attempt(neighbour)
    return ScaleChoice(_choice(trials), tuple(trials[scale] for scale in sorted(trials)))


def _reference(workspace: Workspace, source: RequestedSource, score: Score) -> float:
    """What a specialist, or its snapshot, scores on its validation rows: known from its training,
    or measured now where it was adopted.
    """
    manifest = source.artifact.manifest
    if is_adopted(manifest):
        return score(load_named(workspace, source.artifact), 0).score
    step = manifest.saturation["plateau_step"]
    if source.snapshot is not None:
        steps = {source.artifact.path / s.path: s.step for s in manifest.snapshots}
        step = steps.get(source.directory, step)
    points = [p for p in manifest.curve if p.suite == "validation" and p.step == step]
    known = points[-1].score if points else None
    return manifest.saturation["score"] if known is None else known


def _choice(trials: Mapping[float, Trial]) -> float:
    best = max(trials.values(), key=lambda trial: trial.worst)
    as_good = [trial for trial in trials.values() if trial.worst >= best.worst - best.error]
    return min(as_good, key=lambda trial: (round(abs(trial.scale - 1), 6), trial.loss)).scale


def _standard_error(score: float, count: int) -> float:
    """Of a share of `count` items, √(p(1 − p)/n) with p = (right + 1)/(n + 2), so that it is never
    0."""
    share = (score * count + 1) / (count + 2)
    return math.sqrt(share * (1 - share) / count)


def trial(
    model: PreTrainedModel,
    scale: float,
    scores: Mapping[str, Score],
    references: Mapping[str, float],
) -> Trial:
    """Evaluate a merged model on every domain's rows.

    scale       at which the model is merged
    references  what each domain's specialist scored on the same rows
    """
    results = {name: score(model, 0) for name, score in scores.items()}
    change = {name: result.score - references[name] for name, result in results.items()}
    worst = min(change, key=lambda name: change[name])
    return Trial(
        scale=scale,
        scores={name: result.score for name, result in results.items()},
        losses={name: result.loss for name, result in results.items()},
        worst=change[worst],
        error=_standard_error(results[worst].score, len(results[worst].correct)),
    )
