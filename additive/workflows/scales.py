"""The scale of a merge, chosen on validation rows: a few are tried on a resident model.

Score of a scale: the worst domain's merged − specialist on its own validation rows (whole answers,
teacher-forced); ties go to the lower mean loss. A coarse grid first, then its best point's
neighbours. Held-out items are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from additive.artifacts.standing import is_adopted
from additive.errors import UsageError
from additive.types.progress import Listener, Progress
from additive.workflows.requests import MergeRequest, RequestedSource
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel
    from additive.train.validation import Score

COARSE = (0.4, 0.6, 0.8, 1.0, 1.2)
STEP = 0.1


@dataclass(frozen=True)
class Trial:
    """One scale: each domain's score and mean loss, and the worst domain's merged − specialist."""

    scale: float
    scores: Mapping[str, float]
    losses: Mapping[str, float]
    worst: float

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts trials from the worst to the best."""
        return (round(self.worst, 6), -sum(self.losses.values()) / len(self.losses))


@dataclass(frozen=True)
class ScaleChoice:
    """The scale, and all that were tried, in rising order."""

    scale: float
    trials: tuple[Trial, ...]


def choose_scale(workspace: Workspace, request: MergeRequest, listen: Listener) -> ScaleChoice:
    """Try scales of a request and take the best.

    Raises: UsageError when no source has validation rows; what the engine refuses.
    """
    from additive.merge.candidates import resident
    from additive.models.loading import load_model
    from additive.workflows.composing import build_recipe
    from additive.workflows.merging import planned

    scored = {s.artifact.name: s for s in request.sources if _has_validation(workspace, s)}
    if not scored:
        raise UsageError(
            "scale is chosen on validation rows when no source has any in this workspace",
            help="give a number, for example --scale 1.0",
        )
    recipe = build_recipe(workspace, request, 1.0)
    planned(workspace, recipe)
    directory = workspace.base_directory()
    model = load_model(directory)
    scores = {name: _score(workspace, name) for name in scored}
    references = {
        name: _reference(workspace, source, scores[name]) for name, source in scored.items()
    }
    with resident(model, directory, recipe) as switch:

        def attempt(scale: float) -> Trial:
            switch(scale)
            trial = _trial(model, scale, scores, references)
            said = ", ".join(f"{name} {score:.3f}" for name, score in trial.scores.items())
            listen(Progress(f"merge {request.name}", f"scale {scale:g} on validation: {said}"))
            return trial

        choice = search(attempt)
    listen(
        Progress(
            f"merge {request.name}",
            f"scale {choice.scale:g} chosen on validation rows",
            lasting=True,
        )
    )
    return choice


def search(attempt: Callable[[float], Trial]) -> ScaleChoice:
    """A coarse grid, then the neighbours of its best point.

    >>> search(lambda s: Trial(s, {"a": 1.0}, {"a": abs(s - 0.9)}, -abs(s - 0.9))).scale
    0.9
    """
    trials = {scale: attempt(scale) for scale in COARSE}
    best = _best(trials)
    for neighbour in (round(best - STEP, 2), round(best + STEP, 2)):
        if neighbour not in trials:
            trials[neighbour] = attempt(neighbour)
    return ScaleChoice(_best(trials), tuple(trials[scale] for scale in sorted(trials)))


def _reference(workspace: Workspace, source: RequestedSource, score: Score) -> float:
    """What a specialist scores on its validation rows: known from its training, or asked now."""
    if not is_adopted(source.artifact.manifest):
        return reference_score(source)
    from additive.workflows.asking import load_named

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
    return points.get(step) or manifest.saturation["score"]


def _best(trials: Mapping[float, Trial]) -> float:
    return max(sorted(trials), key=lambda scale: trials[scale].rank)


def _trial(
    model: PreTrainedModel,
    scale: float,
    scores: Mapping[str, Score],
    references: Mapping[str, float],
) -> Trial:
    found = {name: score(model, 0) for name, score in scores.items()}
    return Trial(
        scale=scale,
        scores={name: evaluation.score for name, evaluation in found.items()},
        losses={name: evaluation.loss for name, evaluation in found.items()},
        worst=min(evaluation.score - references[name] for name, evaluation in found.items()),
    )


def _score(workspace: Workspace, name: str) -> Score:
    from additive.models.loading import load_tokenizer
    from additive.train.validation import completion_score
    from additive.workflows.scoring import validation_rows

    tokenizer = load_tokenizer(workspace.base_directory())
    rows = validation_rows(workspace, name)
    return completion_score(tokenizer, rows, system=workspace.domain(name).system)


def _has_validation(workspace: Workspace, source: RequestedSource) -> bool:
    name = source.artifact.name
    return name in workspace.domain_names() and bool(workspace.data_files(name, "validation"))
