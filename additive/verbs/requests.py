"""What a merge is asked to be: a recipe file or a command line, resolved to frozen specialists.

    request_merge(workspace, ["math", "code"], {}, base)       -> MergeRequest
    request_merge(workspace, ["merges/release.yaml"], {}, base)

Reads manifests only. A request's `record` decides the merge: equal records, equal merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from additive.artifacts.base_check import is_adopted
from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact, BaseIdentity
from additive.errors import CompatibilityError, UnknownName, UsageError
from additive.spec.recipe import Recipe
from additive.types.digests import Digest, digest_file, short
from additive.types.references import each_once, merge_name, parse_reference
from additive.verbs.methods import requested_method
from additive.verbs.prompts import training_prompts
from additive.workspace import Workspace
from additive.workspace.recipes import name_of_merge, recipe_meant

if TYPE_CHECKING:
    from additive.merge.recipe import SourceSpec


REQUEST_VERSION = 2


NO_ROWS = (
    "scale 1: no source has validation rows to choose it on"
    " (--scale, or data.validation in its domain.yaml)"
)


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
    """A recipe with its sources found: all that decides a merge, before its scale is known.

    recipe      with the method that `auto` stands for and the merge's name filled in
    base        what every source was trained on
    sources     in the order of their digests
    validation  digests of the files that choose the scale; empty where it is a number
    prompts     digests of the training files that weigh the sources, for methods that need them
    notes       what the user should know about a choice that was made for them
    """

    recipe: Recipe
    base: BaseIdentity
    sources: tuple[RequestedSource, ...]
    validation: Mapping[str, str]
    prompts: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The merge's name."""
        return self.recipe.name

    def record(self) -> dict[str, Any]:
        """All that decides the merge, in an order that does not depend on the command line."""
        inputs = {"validation": dict(self.validation), "prompts": dict(self.prompts)}
        return {
            "version": REQUEST_VERSION,
            "base": self.base.digest,
            "sources": [source.record() for source in self.sources],
            **self.recipe.resolved(),
            **{key: files for key, files in inputs.items() if files},
        }


def request_merge(
    workspace: Workspace, names: Sequence[str], options: Mapping[str, Any], base: BaseIdentity
) -> MergeRequest:
    """Resolve the names and options of `additive merge`.

    names    domains, or one recipe
    options  fields of `Recipe` by name, over those of the recipe or of additive.yaml; beside them
             `weights` (name of a source → weight) and `parameters` (of the method); None leaves it

    Raises: UsageError, UnknownName, SpecError; CompatibilityError for a specialist of another base.

    Example: `request_merge(workspace, ["math", "code"], {"method": "ties", "scale": 0.8}, base)`
    """
    given = {key: value for key, value in options.items() if value is not None}
    weights, parameters = given.pop("weights", {}), given.pop("parameters", {})
    recipe = _recipe(workspace, names)
    sources = _sources(workspace, recipe, weights)
    for source in sources:
        _check_base(source.artifact, base)
    ordered = tuple(sorted(sources, key=lambda source: source.artifact.digest))
    places = {source.artifact.name: source.directory for source in ordered}
    asked = given.pop("method", None)
    method, notes = requested_method(recipe.method, asked, parameters, places)
    rules = (*given.pop("rules", ()), *recipe.rules)
    validation = _validation(workspace, ordered)
    if "scale" not in given and _scale_is_default(workspace, names) and not validation:
        given["scale"], notes = 1.0, (*notes, NO_ROWS)
    name = _name(workspace, recipe, sources, given.pop("name", None))
    recipe = _with_options(recipe, {**given, "method": method, "rules": rules, "name": name})
    prompts = training_prompts(
        workspace,
        [source.artifact for source in ordered],
        [method.name, *(rule.method.name for rule in rules)],
    )
    chosen = validation if recipe.scale == "validation" else {}
    return MergeRequest(recipe, base, ordered, chosen, prompts, notes)


def _with_options(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    for key in options:
        if key not in Recipe.model_fields:
            raise UnknownName("option of a merge", key, sorted(Recipe.model_fields))
    try:
        return Recipe.model_validate({**dict(recipe), **options})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise UsageError(f"{where} is {fault['input']!r}: {fault['msg']}") from None


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
            f"source is the {artifact.manifest.kind} {artifact.reference}; expected a specialist",
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
            f"domain {name!r} is not trained yet; a merge needs its specialist",
            help=f"additive train {name}",
        )
    store = workspace.store
    merges = {n for n in store.names() for a in store.current(n)[-1:] if a.manifest.kind == "merge"}
    return UnknownName("specialist", name, {*domains, *store.names()} - merges)


def _recipe(workspace: Workspace, names: Sequence[str]) -> Recipe:
    named = recipe_meant(workspace, names[0]) if len(names) == 1 else None
    if named is not None:
        return workspace.recipe(named)
    sources = tuple({"domain": name} for name in each_once(names))
    return Recipe.model_validate({"version": 1, "sources": sources, **dict(workspace.spec.merge)})


def _sources(
    workspace: Workspace, recipe: Recipe, weights: Mapping[str, float]
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
    workspace: Workspace, recipe: Recipe, sources: Sequence[RequestedSource], asked: str | None
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
            "; the workspace's"
            f" base is {base.id}@{short(base.digest)}: deltas of different bases do not add",
            help=f"additive adopt DIR --as {artifact.name}"
            if is_adopted(artifact.manifest)
            else f"additive train {artifact.name}",
        )


def _scale_is_default(workspace: Workspace, names: Sequence[str]) -> bool:
    """Whether neither a recipe nor additive.yaml sets the scale."""
    named = recipe_meant(workspace, names[0]) if len(names) == 1 else None
    return named is None and "scale" not in workspace.spec.merge.model_fields_set


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
