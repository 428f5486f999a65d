"""The scale of a merge, chosen on validation rows: a few are tried on a resident model.

Score of a scale: the worst domain's merged − specialist on its own validation rows (whole answers,
teacher-forced). Of the scales within one standard error of the best, the one nearest to 1 is taken,
and of two as near the one with the lower mean loss: the deltas stay as they were trained unless the
rows say otherwise (the one-standard-error rule of Breiman et al. 1984, towards no rescaling). A
coarse grid first, then the neighbours of its choice. Held-out items are never read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from additive.artifacts.base_check import is_adopted
from additive.errors import UsageError
from additive.types.progress import Listener, Progress
from additive.verbs.requests import MergeRequest, RequestedSource
from additive.workspace import Workspace
from additive.workspace.inputs import split_rows

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel
    from additive.train.validation import Score


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


def choose_scale(workspace: Workspace, request: MergeRequest, progress: Listener) -> ScaleChoice:
    """Try scales of a request and take the best.

    Raises: UsageError when no source has validation rows; what the engine refuses.
    """
    from additive.merge.resident import resident
    from additive.models.attach import give_rows
    from additive.models.loading import load_model
    from additive.verbs.composing import build_recipe, planned

    scored = {s.artifact.name: s for s in request.sources if _has_validation(workspace, s)}
    if not scored:
        raise UsageError(
            "scale is chosen on validation rows when no source has any in this workspace",
            help="give a number, for example --scale 1.0",
        )
    recipe = build_recipe(workspace, request, 1.0)
    made = planned(workspace, recipe)
    directory = workspace.base_directory()
    model = load_model(directory)
    rows = next((tensor.shape[0] for tensor in made.tensors if tensor.resized), None)
    if rows is not None:
        give_rows(model, rows)
    scores = {name: _score(workspace, name) for name in scored}
    references = {
        name: _reference(workspace, source, scores[name]) for name, source in scored.items()
    }
    with resident(model, directory, recipe) as switch:

        def attempt(scale: float) -> Trial:
            switch(scale)
            found = trial(model, scale, scores, references)
            said = ", ".join(f"{name} {score:.3f}" for name, score in found.scores.items())
            progress(Progress(f"merge {request.name}", f"scale {scale:g} on validation: {said}"))
            return found

        choice = search(attempt)
    progress(
        Progress(
            f"merge {request.name}",
            f"scale {choice.scale:g} chosen on validation rows",
            lasting=True,
        )
    )
    return choice


def search(attempt: Callable[[float], Trial]) -> ScaleChoice:
    """A coarse grid, then the neighbours of its choice.

    >>> search(lambda s: Trial(s, {"a": 1.0}, {"a": abs(s - 0.9)}, -abs(s - 0.9))).scale
    0.9
    """
    trials = {scale: attempt(scale) for scale in COARSE}
    centre = _choice(trials)
    for neighbour in (round(centre - STEP, 2), round(centre + STEP, 2)):
        if neighbour not in trials:
            trials[neighbour] = attempt(neighbour)
    return ScaleChoice(_choice(trials), tuple(trials[scale] for scale in sorted(trials)))


def _reference(workspace: Workspace, source: RequestedSource, score: Score) -> float:
    """What a specialist scores on its validation rows: known from its training, or asked now."""
    if not is_adopted(source.artifact.manifest):
        return reference_score(source)
    from additive.verbs.ask import load_named

    return score(load_named(workspace, source.artifact), 0).score


def reference_score(source: RequestedSource) -> float:
    """What a specialist, or its snapshot, scored on its validation rows when it was trained."""
    manifest = source.artifact.manifest
    step = manifest.saturation["plateau_step"]
    if source.snapshot is not None:
        chosen = source.directory
        step = next(
            (s.step for s in manifest.snapshots if source.artifact.path / s.path == chosen), step
        )
    points = {p.step: p.score for p in manifest.curve if p.suite == "validation"}
    found = points.get(step)
    return manifest.saturation["score"] if found is None else found


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
    """Ask a merged model every domain's rows; `references` holds what its specialist scored."""
    found = {name: score(model, 0) for name, score in scores.items()}
    change = {name: evaluation.score - references[name] for name, evaluation in found.items()}
    worst = min(change, key=lambda name: change[name])
    return Trial(
        scale=scale,
        scores={name: evaluation.score for name, evaluation in found.items()},
        losses={name: evaluation.loss for name, evaluation in found.items()},
        worst=change[worst],
        error=_standard_error(found[worst].score, len(found[worst].correct)),
    )


def _score(workspace: Workspace, name: str) -> Score:
    from additive.models.loading import load_tokenizer
    from additive.train.validation import completion_score

    tokenizer = load_tokenizer(workspace.base_directory())
    rows = split_rows(workspace, name, "validation")
    return completion_score(tokenizer, rows, system=workspace.domain(name).system)


def _has_validation(workspace: Workspace, source: RequestedSource) -> bool:
    name = source.artifact.name
    return name in workspace.domain_names() and bool(workspace.data_files(name, "validation"))
