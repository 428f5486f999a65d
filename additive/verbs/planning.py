"""`merge --plan`: what it would do. No tensor is read, nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from additive.artifacts.manifest import Artifact
from additive.spec.method import MethodSpec
from additive.types.units import size_text
from additive.verbs.built import find_merge
from additive.verbs.composing import build_recipe, planned
from additive.verbs.gram_matrices import ROWS, gram_files
from additive.verbs.requests import MergeRequest
from additive.workspace import Workspace

if TYPE_CHECKING:
    from additive.merge.recipe import BuiltRecipe, ParameterRule


SCHEMA = "additive.plan/1"


@dataclass(frozen=True)
class MergePlan:
    """A merge as it would be built."""

    request: MergeRequest
    reused: Artifact | None
    copied: int
    merged: int
    read: int
    written: int
    memory: int
    notes: tuple[str, ...]
    rules: tuple[tuple[str, int], ...]

    def document(self) -> dict[str, Any]:
        """As `additive merge --plan --json` prints it."""
        return {
            "schema": SCHEMA,
            "name": self.request.name,
            "would": "reuse" if self.reused else "build",
            "reuses": self.reused.reference if self.reused else None,
            "sources": [
                {"name": s.artifact.reference, "snapshot": s.snapshot, "weight": s.weight}
                for s in self.request.sources
            ],
            **self.request.recipe.options(),
            "rules": [{"rule": rule, "parameters": count} for rule, count in self.rules],
            "tensors": {"copied": self.copied, "merged": self.merged},
            "bytes": {"read": self.read, "written": self.written, "memory": self.memory},
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The plan for people."""
        sources = ", ".join(f"{s.artifact.reference} × {s.weight:g}" for s in self.request.sources)
        recipe = self.request.recipe
        scale = recipe.scale
        said = f"{scale:g}" if isinstance(scale, float | int) else "chosen on validation rows"
        lines = [
            f"merge    {self.request.name}",
            f"sources  {sources}",
            f"method   {recipe.method.name}, scale {said}",
            *_steps("before", recipe.before),
            *_steps("after", recipe.after),
            *(f"rule     {rule} ({count} parameters)" for rule, count in self.rules),
            f"tensors  {self.merged} merged, {self.copied} copied as bytes",
            f"reads    {size_text(self.read)}",
            f"writes   {size_text(self.written)} ({recipe.output}{_rank(recipe.rank)})",
            f"memory   {size_text(self.memory)} over the imports, at most",
            f"device   {recipe.device}",
        ]
        lines += [f"note     {note}" for note in self.notes]
        reuse = (
            f"nothing to do: {self.reused.reference} is there" if self.reused else "would be built"
        )
        return "\n".join([*lines, f"state    {reuse}"])


def plan_merge(workspace: Workspace, request: MergeRequest) -> MergePlan:
    """The plan of a merge. Raises: everything that the merge itself would refuse from headers."""
    scale = float(request.recipe.scale) if isinstance(request.recipe.scale, int | float) else 1.0
    made = planned(workspace, build_recipe(workspace, request, scale))
    return MergePlan(
        request=request,
        reused=find_merge(workspace, request),
        copied=len(made.tensors) - len(made.touched),
        merged=made.merged,
        read=made.read,
        written=made.written,
        memory=made.memory,
        notes=(*request.notes, *made.notes, *_gram_notes(workspace, request)),
        rules=tuple(zip(described_rules(made.recipe), made.rule_counts, strict=True)),
    )


def _gram_notes(workspace: Workspace, request: MergeRequest) -> list[str]:
    missing = [path for path in gram_files(workspace, request).values() if not path.exists()]
    if not missing:
        return []
    return [f"{len(missing)} sources would read up to {ROWS} of their training prompts first"]


def described_rules(recipe: BuiltRecipe) -> tuple[str, ...]:
    """Each rule in words: `*embed*.weight: linear, scale 1`."""
    return tuple(f"{rule.pattern}: {_ruling(rule)}" for rule in recipe.rules)


def _ruling(rule: ParameterRule) -> str:
    from additive.merge.recipe import method_name

    if rule.method is None:
        return "the base's values"
    scale = "the merge's scale" if rule.scale is None else f"scale {rule.scale:g}"
    return f"{method_name(rule.method)}, {scale}"


def _steps(place: str, steps: Sequence[MethodSpec]) -> list[str]:
    names = ", ".join(step.name for step in steps)
    return [f"{place:8} {names}"] if names else []


def _rank(rank: int | None) -> str:
    return f", rank {rank}" if rank else ""
