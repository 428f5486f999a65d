"""Merge specialists: the recipe built, checked and planned, its scale chosen, streamed, frozen.

request = request_merge(workspace, ["math", "code"], {}, base)
plan_merge(workspace, request).text()           what would be done; nothing is written
build_merge(workspace, request).artifact.path   what transformers or PEFT load
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import write_tensors
from additive.artifacts.content import cached_leaves
from additive.artifacts.manifest import Artifact, ManifestDraft, Parent
from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.deltas.source import delta_norms
from additive.merge.default_rules import default_rules
from additive.merge.engine import execute
from additive.merge.methods.arithmetic import TaskArithmetic
from additive.merge.plan import open_checked, plan_sources
from additive.merge.planned import MergeReport, Plan
from additive.merge.recipe import (
    BuiltRecipe,
    ParameterRule,
    SourceSpec,
    build_method,
    build_rule,
    build_steps,
    method_name,
)
from additive.merge.sources import Sources, input_directions, opened_sources
from additive.models.gram_matrices import input_grams
from additive.models.loading import load_specialist, load_tokenizer
from additive.models.template import encode
from additive.spec.method import MethodSpec
from additive.types.digests import Digest, digest_json
from additive.types.norms import total_norm
from additive.types.progress import Listener, Progress, silent, under
from additive.types.units import size_text
from additive.verbs.built_merge import BuiltMerge, build_once, find_merge, rounding_notes
from additive.verbs.merge_request import MergeRequest, RequestedSource, digests_by_name
from additive.verbs.scale import choose_scale
from additive.workspace import environment
from additive.workspace.inputs import lock_rows, split_rows
from additive.workspace.workspace import Workspace

PLAN_SCHEMA = "additive.plan/1"


GRAM_ROWS = 256
"""Training rows of a domain that its Gram matrices are computed from, at most."""


def build_merge(
    workspace: Workspace, request: MergeRequest, progress: Listener = silent, *, wait: bool = False
) -> BuiltMerge:
    """The merge that a request describes, built or found.

    wait  whether to wait for another process that builds the same merge

    Raises: LockedError; UnknownName, UsageError, SpecError for method and parameters;
    CompatibilityError, IntegrityError, SecurityError for the sources; ResourceError.
    """

    def freeze() -> Artifact:
        ensure_grams(workspace, request, progress)
        recipe = build_recipe(workspace, request)
        with closing(open_checked(recipe, workspace.base_directory(), request.base)) as sources:
            plan = plan_sources(recipe, sources, request.base, disk=_disk(workspace))
            trials: dict[str, Any] = {}
            if isinstance(request.recipe.scale, str):
                choice = choose_scale(workspace, request, plan, sources, progress)
                plan, trials = plan.at_scale(choice.scale), asdict(choice)
            return _freeze(workspace, request, plan, sources, trials, progress)

    built = build_once(workspace, request, freeze, progress, wait=wait)
    lock_rows(workspace, request.base, request.rows())
    return built


def _disk(workspace: Workspace) -> Path:
    """A directory on the disk that the merge is written to."""
    root = workspace.store.root
    root.mkdir(parents=True, exist_ok=True)
    return root


def _freeze(
    workspace: Workspace,
    request: MergeRequest,
    plan: Plan,
    sources: Sources,
    trials: Mapping[str, Any],
    progress: Listener,
) -> Artifact:
    started = environment.now()
    leaves = cached_leaves(workspace.base_directory(), "model", workspace.cache)
    listener = under(f"merge {request.name}", progress)
    with workspace.store.staging("merge", request.name) as staged:
        report = execute(plan, staged, listener, leaves, sources=sources)
        draft = ManifestDraft(
            kind="merge",
            name=request.name,
            base=request.base,
            parents=tuple(
                Parent(name=s.artifact.name, digest=s.artifact.digest, weight=s.weight)
                for s in request.sources
            ),
            spec={**plan.recipe.resolved(), "request": request.record()},
            seed=request.recipe.seed,
            norms=report.norms,
            notes=_notes(request, plan, report),
            versions=environment.versions(),
            hardware=environment.hardware(request.recipe.device),
            times={
                "started": started,
                "frozen": environment.now(),
                "rounded_away": report.rounded_away,
                **({"energy": report.energy} if report.energy else {}),
                "scales": dict(trials),
            },
        )
        return workspace.store.freeze(Path(staged), draft)


def _notes(request: MergeRequest, plan: Plan, report: MergeReport) -> tuple[str, ...]:
    requested = {source.artifact.digest: source.weight for source in request.sources}
    balanced = (
        f"balance: weight of {source.name} is {source.weight:.3g} in place of"
        f" {requested[source.digest]:g}"
        for source in plan.recipe.sources
        if source.weight != requested[source.digest]
    )
    return (
        *request.notes,
        *balanced,
        *plan.notes,
        *report.notes,
        *rounding_notes(report.rounded_away),
    )


def build_recipe(workspace: Workspace, request: MergeRequest) -> BuiltRecipe:
    """The engine's recipe of a request: method, steps and rules as objects, weights balanced where
    a step says so.

    A scale that is still to be chosen is 1; see `BuiltRecipe.at_scale`.

    Raises: UnknownName, UsageError, SpecError; what opening a source refuses where norms have to be
    computed.
    """
    method = build_method(request.recipe.method)
    before = build_steps(request.recipe.before, "before")
    rules = tuple(build_rule(spec) for spec in request.recipe.rules)
    if request.recipe.default_rules:
        rules += default_rules(method)
    scale = 1.0 if isinstance(request.recipe.scale, str) else float(request.recipe.scale)
    recipe = BuiltRecipe(
        sources=_source_specs(request, gram_files(workspace, request)),
        method=method,
        settings=request.recipe.model_copy(update={"scale": scale}),
        rules=rules,
        before=tuple(step for step in before if not step.overrides("balance")),
        after=build_steps(request.recipe.after, "after"),
    )
    for step in before:
        if step.overrides("balance"):
            factors = step.balance([_norm(workspace, source) for source in request.sources])
            weighted = zip(recipe.sources, factors, strict=True)
            sources = tuple(replace(one, weight=one.weight * factor) for one, factor in weighted)
            recipe = replace(recipe, sources=sources)
    return recipe


def _source_specs(
    request: MergeRequest, grams: Mapping[Digest, Path] | None = None
) -> tuple[SourceSpec, ...]:
    return tuple(
        SourceSpec(
            name=source.artifact.name,
            digest=source.artifact.digest,
            directory=source.directory,
            weight=source.weight,
            finite=True,
            grams=(grams or {}).get(source.artifact.digest),
        )
        for source in request.sources
    )


def _norm(workspace: Workspace, source: RequestedSource) -> float:
    """‖τ‖ of a whole source: from its manifest, or computed where that has no norms of it."""
    known = source.artifact.manifest.norms
    if known and source.snapshot is None:
        return total_norm(known)
    artifact = source.artifact
    with (
        closing(open_base(workspace.base_directory())) as base,
        closing(open_deltas(source.directory, base, artifact.name, artifact.digest)) as deltas,
    ):
        return total_norm(delta_norms(deltas))


def gram_files(workspace: Workspace, request: MergeRequest) -> dict[Digest, Path]:
    """Where the Gram matrices of every source lie, or will lie: in the sidecar of its artifact.

    A method with `needs_grams` (regmean) weighs directions by how much a domain's inputs use them;
    per parameter it takes an R×R matrix from each source, R the sum of the sources' ranks. The
    file's name has the digest of all sources and rows, so that other ones have another file. Empty
    for a method that needs none.
    """
    if not request.prompts:
        return {}
    sources = [[source.artifact.digest, source.snapshot] for source in request.sources]
    key = digest_json([GRAM_ROWS, digests_by_name(request.prompts), sources])
    return {
        source.artifact.digest: workspace.store.sidecar(source.artifact.digest)
        / f"grams-{key[:16]}.safetensors"
        for source in request.sources
    }


def ensure_grams(workspace: Workspace, request: MergeRequest, progress: Listener = silent) -> None:
    """Compute the Gram matrices that are missing; nothing for a method that needs none.

    Each specialist reads up to 256 training rows of its domain, evenly drawn.

    Raises: what opening sources and models refuses.
    """
    files = gram_files(workspace, request)
    missing = [s for s in request.sources if files and not files[s.artifact.digest].exists()]
    if not missing:
        return
    directory = workspace.base_directory()
    recipe = BuiltRecipe(_source_specs(request), TaskArithmetic())
    with opened_sources(recipe, directory) as sources:
        directions = input_directions(sources)
    tokenizer = load_tokenizer(directory)
    for source in missing:
        name = source.artifact.name
        text = f"reading what {name} sees on its training prompts"
        progress(Progress(f"merge {request.name}", text))
        rows = split_rows(workspace, name, "train")
        rows = rows[:: max(1, len(rows) // GRAM_ROWS)][:GRAM_ROWS]
        prompts, answers = [row.prompt for row in rows], [row.completion or "" for row in rows]
        examples = encode(tokenizer, prompts, answers, workspace.domain(name).system)
        model = load_specialist(directory, source.directory)
        grams = input_grams(model, [example.ids for example in examples], dict(directions.values()))
        tensors = {parameter: grams[module] for parameter, (module, _) in directions.items()}
        write_tensors(files[source.artifact.digest], tensors)


@dataclass(frozen=True)
class MergePlan:
    """A merge as it would be built.

    reused  the merge that answers the request already
    grams   how many sources would read their training prompts first
    """

    request: MergeRequest
    plan: Plan
    reused: Artifact | None
    grams: int

    def document(self) -> dict[str, Any]:
        """As `additive merge --plan --json` prints it."""
        plan, reused = self.plan, self.reused
        return {
            "schema": PLAN_SCHEMA,
            "name": self.request.name,
            "would": "reuse" if reused else "build",
            "reuses": reused.reference if reused else None,
            "sources": [
                {"name": s.artifact.reference, "snapshot": s.snapshot, "weight": s.weight}
                for s in self.request.sources
            ],
            **self.request.recipe.options(),
            "rules": [{"rule": rule, "parameters": count} for rule, count in self._rules()],
            "tensors": {"copied": self._copied(), "merged": plan.merged},
            "bytes": {"read": plan.read, "written": plan.written, "memory": plan.memory},
            "notes": self._notes(),
        }

    def text(self) -> str:
        """The plan for people."""
        plan, recipe = self.plan, self.request.recipe
        sources = ", ".join(f"{s.artifact.reference} × {s.weight:g}" for s in self.request.sources)
        chosen = isinstance(recipe.scale, str)
        scale = "chosen on validation rows" if chosen else f"{recipe.scale:g}"
        rank = f", rank {recipe.rank}" if recipe.rank else ""
        reused = self.reused
        state = f"nothing to do: {reused.reference} is there" if reused else "would be built"
        return "\n".join(
            [
                f"merge    {self.request.name}",
                f"sources  {sources}",
                f"method   {recipe.method.name}, scale {scale}",
                *_steps_line("before", recipe.before),
                *_steps_line("after", recipe.after),
                *(f"rule     {rule} ({count} parameters)" for rule, count in self._rules()),
                f"tensors  {plan.merged} merged, {self._copied()} copied as bytes",
                f"reads    {size_text(plan.read)}",
                f"writes   {size_text(plan.written)} ({recipe.output}{rank})",
                f"memory   {size_text(plan.memory)} over the imports, at most",
                f"device   {recipe.device}",
                *(f"note     {note}" for note in self._notes()),
                f"state    {state}",
            ]
        )

    def _rules(self) -> list[tuple[str, int]]:
        rules = map(_rule_text, self.plan.recipe.rules)
        return list(zip(rules, self.plan.rule_counts, strict=True))

    def _copied(self) -> int:
        return len(self.plan.tensors) - len(self.plan.touched)

    def _notes(self) -> list[str]:
        grams = f"{self.grams} sources would read up to {GRAM_ROWS} of their training prompts first"
        return [*self.request.notes, *self.plan.notes, *([grams] if self.grams else [])]


def _steps_line(place: str, steps: Sequence[MethodSpec]) -> list[str]:
    return [f"{place:8} {', '.join(step.name for step in steps)}"] if steps else []


def _rule_text(rule: ParameterRule) -> str:
    """`*embed*.weight: linear, scale 1`."""
    if rule.method is None:
        return f"{rule.pattern}: the base's values"
    scale = "the merge's scale" if rule.scale is None else f"scale {rule.scale:g}"
    return f"{rule.pattern}: {method_name(rule.method)}, {scale}"


def plan_merge(workspace: Workspace, request: MergeRequest) -> MergePlan:
    """What building a merge would read, write and need; no tensor of the base is read.

    Raises: everything that the merge itself would refuse from headers.
    """
    recipe = build_recipe(workspace, request)
    with closing(open_checked(recipe, workspace.base_directory(), request.base)) as sources:
        plan = plan_sources(recipe, sources, request.base, disk=_disk(workspace))
    missing = [path for path in gram_files(workspace, request).values() if not path.exists()]
    return MergePlan(request, plan, find_merge(workspace, request), len(missing))
