"""What a merge is asked to be: a recipe file or a command line, resolved to frozen specialists.

    request_merge(workspace, ["math", "code"], MergeOptions())       -> MergeRequest
    request_merge(workspace, ["merges/release.yaml"], MergeOptions())

Reads manifests only. A request's `record` decides the merge: equal records, equal merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from additive.artifacts.base_check import is_adopted
from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact, BaseIdentity
from additive.errors import CompatibilityError, UnknownName, UsageError
from additive.merge.recipe import SourceSpec
from additive.spec.method import MethodSpec
from additive.spec.recipe import RecipeSpec, RuleSpec
from additive.types.digests import Digest, digest_file, short
from additive.types.references import each_once, merge_name, parse_reference
from additive.verbs.methods import requested_method
from additive.verbs.prompts import training_prompts
from additive.workspace import Workspace
from additive.workspace.recipes import name_of_merge, recipe_meant

REQUEST_VERSION = 1


NO_ROWS = (
    "scale 1: no source has validation rows to choose it on"
    " (--scale, or data.validation in its domain.yaml)"
)


@dataclass(frozen=True)
class MergeOptions:
    """What the command line says; None leaves it to the recipe or the workspace."""

    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    scale: float | str | None = None
    output: str | None = None
    dtype: str | None = None
    seed: int | None = None
    name: str | None = None
    before: tuple[MethodSpec, ...] | None = None
    after: tuple[MethodSpec, ...] | None = None
    rules: tuple[RuleSpec, ...] = ()
    default_rules: bool | None = None
    rank: int | None = None
    vocabulary: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class RequestedSource:
    """A frozen specialist (or a snapshot of it) and its weight."""

    artifact: Artifact
    snapshot: float | None
    weight: float

    @property
    def directory(self) -> Path:
        """What PEFT or transformers would load."""
        return self.artifact.snapshot_path(self.snapshot)

    def record(self) -> dict[str, Any]:
        """The source by digest."""
        return {
            "digest": self.artifact.digest,
            "snapshot": self.snapshot,
            "weight": self.weight,
        }


@dataclass(frozen=True)
class MergeRequest:
    """A merge before its scale is known; `scale` is a number or "validation"."""

    name: str
    base: BaseIdentity
    sources: tuple[RequestedSource, ...]
    method: MethodSpec
    scale: float | str
    output: str
    dtype: str
    seed: int
    validation: Mapping[str, str]
    notes: tuple[str, ...] = ()
    before: tuple[MethodSpec, ...] = ()
    after: tuple[MethodSpec, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    default_rules: bool = True
    rank: int | None = None
    vocabulary: str = "same"
    prompts: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"

    def record(self) -> dict[str, Any]:
        """All that decides the merge, in an order that does not depend on the command line."""
        return {
            "version": REQUEST_VERSION,
            "base": self.base.digest,
            "sources": sorted(
                (source.record() for source in self.sources), key=lambda s: s["digest"]
            ),
            "method": self.method.resolved(),
            "scale": self.scale,
            "output": self.output,
            "dtype": self.dtype,
            "seed": self.seed,
            "validation": dict(self.validation),
            **self._composition(),
        }

    def _composition(self) -> dict[str, Any]:
        """What goes beyond one method, as far as it is there."""
        said = {
            "before": [step.resolved() for step in self.before],
            "after": [step.resolved() for step in self.after],
            "rules": [rule.resolved() for rule in self.rules],
            "default_rules": None if self.default_rules else False,
            "rank": self.rank,
            "vocabulary": None if self.vocabulary == "same" else self.vocabulary,
            "prompts": dict(self.prompts),
            "device": None if self.device == "cpu" else self.device,
        }
        return {key: value for key, value in said.items() if value not in (None, [], {})}


def request_merge(
    workspace: Workspace, names: Sequence[str], options: MergeOptions, base: BaseIdentity
) -> MergeRequest:
    """Resolve the names and options of `additive merge`.

    Raises: UsageError, UnknownName, SpecError; CompatibilityError for a specialist of another base.
    """
    recipe = _recipe(workspace, names)
    sources = _sources(workspace, recipe, options.weights)
    for source in sources:
        _check_base(source.artifact, base)
    ordered = tuple(sorted(sources, key=lambda source: source.artifact.digest))
    places = {source.artifact.name: source.directory for source in ordered}
    method, notes = requested_method(recipe.method, options.method, options.parameters, places)
    rules = (*options.rules, *recipe.rules)
    scale = recipe.scale if options.scale is None else options.scale
    if _nobody_chose(workspace, names, options) and not _validation(workspace, ordered):
        scale, notes = 1.0, (*notes, NO_ROWS)
    return MergeRequest(
        name=_name(workspace, recipe, sources, options.name),
        base=base,
        sources=ordered,
        method=method,
        scale=scale,
        output=options.output or recipe.output,
        dtype=options.dtype or recipe.dtype,
        seed=recipe.seed if options.seed is None else options.seed,
        validation=_validation(workspace, ordered) if scale == "validation" else {},
        notes=notes,
        before=recipe.before if options.before is None else options.before,
        after=recipe.after if options.after is None else options.after,
        rules=rules,
        default_rules=_default(options.default_rules, recipe.default_rules),
        rank=recipe.rank if options.rank is None else options.rank,
        vocabulary=options.vocabulary or recipe.vocabulary,
        device=options.device,
        prompts=training_prompts(
            workspace,
            [source.artifact for source in ordered],
            [method.name, *(rule.method.name for rule in rules)],
        ),
    )


def _default(said: bool | None, otherwise: bool) -> bool:
    return otherwise if said is None else said


def resolve_specialist(workspace: Workspace, text: str) -> tuple[Artifact, float | None]:
    """The specialist that a reference means, and its snapshot.

    Raises: UsageError, UnknownName saying how to train it; IntegrityError when its bytes changed.
    """
    reference = parse_reference(text)
    if not workspace.store.versions(reference.name):
        raise _not_trained(workspace, reference.name)
    artifact = workspace.store.resolve(reference)
    if artifact.manifest.kind != "specialist":
        raise UsageError(
            f"source is the {artifact.manifest.kind} {artifact.reference}"
            " when it should be a specialist",
            help="name the domains that went into it instead",
        )
    require_unchanged(artifact, workspace.cache)
    return artifact, reference.snapshot


def _not_trained(workspace: Workspace, name: str) -> UnknownName | UsageError:
    domains = workspace.domain_names()
    if name in domains and workspace.domain(name).adopted:
        return UsageError(
            f"domain {name!r} is adopted and its specialist is not in this store",
            help=f"additive adopt DIR --as {name}",
        )
    if name in domains:
        return UsageError(
            f"domain {name!r} is not trained yet when a merge needs its specialist",
            help=f"additive train {name}",
        )
    store = workspace.store
    merges = {n for n in store.names() if store.versions(n)[-1].manifest.kind == "merge"}
    return UnknownName("specialist", name, {*domains, *store.names()} - merges)


def _recipe(workspace: Workspace, names: Sequence[str]) -> RecipeSpec:
    named = recipe_meant(workspace, names[0]) if len(names) == 1 else None
    if named is not None:
        return workspace.recipe(named)
    defaults = workspace.spec.merge
    return RecipeSpec.model_validate(
        {
            "version": 1,
            "sources": tuple({"domain": name} for name in each_once(names)),
            "method": defaults.method,
            "scale": defaults.scale,
            "output": defaults.output,
            "dtype": defaults.dtype,
            "before": defaults.before,
            "after": defaults.after,
            "rules": defaults.rules,
            "default_rules": defaults.default_rules,
            "rank": defaults.rank,
            "vocabulary": defaults.vocabulary,
        }
    )


def _sources(
    workspace: Workspace, recipe: RecipeSpec, weights: Mapping[str, float]
) -> list[RequestedSource]:
    sources, known = [], []
    for spec in recipe.sources:
        artifact, snapshot = resolve_specialist(workspace, spec.domain)
        known += [artifact.name, spec.domain]
        weight = weights.get(spec.domain, weights.get(artifact.name, spec.weight))
        sources.append(RequestedSource(artifact, snapshot, weight))
    for name in weights:
        if name not in known:
            raise UnknownName("source in --weight", name, known)
    return sources


def _name(
    workspace: Workspace, recipe: RecipeSpec, sources: Sequence[RequestedSource], asked: str | None
) -> str:
    said = recipe.name if asked is None else asked
    if said or asked is not None:
        return name_of_merge(workspace, said)
    return merge_name(
        [source.artifact.name for source in sources],
        [source.artifact.digest for source in sources],
    )


def _check_base(artifact: Artifact, base: BaseIdentity) -> None:
    trained_on = artifact.manifest.base
    if trained_on is not None and trained_on.digest != base.digest:
        raise CompatibilityError(
            f"{artifact.reference} was trained on {trained_on.id}@{short(trained_on.digest)}"
            " when the workspace's"
            f" base is {base.id}@{short(base.digest)}: deltas of different bases do not add",
            help=f"additive adopt DIR --as {artifact.name}"
            if is_adopted(artifact.manifest)
            else f"additive train {artifact.name}",
        )


def _nobody_chose(workspace: Workspace, names: Sequence[str], options: MergeOptions) -> bool:
    """Whether the scale is the built-in default: no option, recipe or additive.yaml says it."""
    said = "scale" in workspace.spec.merge.model_fields_set
    named = recipe_meant(workspace, names[0]) if len(names) == 1 else None
    return options.scale is None and not said and named is None


def _validation(workspace: Workspace, sources: Sequence[RequestedSource]) -> dict[str, str]:
    """Digests of the validation files that choose the scale."""
    found = {}
    for source in sources:
        if source.artifact.name in workspace.domain_names():
            for path in workspace.data_files(source.artifact.name, "validation"):
                found[f"{source.artifact.name}/{path.name}"] = digest_file(path)
    return dict(sorted(found.items()))


def requested_sources(
    request: MergeRequest, grams: Mapping[Digest, Path] | None = None
) -> tuple[SourceSpec, ...]:
    """The engine's sources, with their files of Grams where there are any."""
    from additive.merge.recipe import SourceSpec

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
