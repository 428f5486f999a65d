"""The first pass of methods that need to see the whole model before they merge a parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from additive.merge.compose import calibrated
from additive.merge.recipe import Recipe
from additive.merge.stack import DeltaStack
from additive.merge.stacks import Sources
from additive.merge.threads import each
from additive.types.progress import Listener, Progress, silent


def survey_model(recipe: Recipe, opened: Sources, workers: int, progress: Listener = silent) -> Any:
    """One survey per parameter in the base's order, then what the method concludes from them.

    None for methods of any other scope than `model`.
    """
    method: Any = recipe.method
    if method.scope != "model":
        return None
    progress(Progress("merge", "first pass: surveying every parameter"))
    names = [name for name in opened.parameters() if not recipe.part(name).ruled]

    def survey(name: str) -> Any:
        return method.survey(calibrated(recipe.part(name), opened.stack(name, recipe.seed)))

    surveys = each(survey, names, workers)
    return method.conclude(dict(zip(names, surveys, strict=True)))


def stack_of(recipe: Recipe, opened: Sources, name: str, conclusion: Any) -> DeltaStack:
    """One parameter's stack with what the first pass concluded, where the recipe's own method
    merges it.
    """
    stack = opened.stack(name, recipe.seed)
    if conclusion is None or recipe.part(name).ruled:
        return stack
    return replace(stack, survey=conclusion)
