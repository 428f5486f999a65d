"""The request of a merge: a recipe file or a command line, resolved to frozen specialists.

    request_merge(workspace, ["math", "code"], {}, base)       -> MergeRequest
    request_merge(workspace, ["merges/release.yaml"], {}, base)

Only manifests and adapter configurations are read, and torch is not imported. A request's `record`
identifies the merge: equal records, equal merges.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from additive.artifacts.atomic import write_json
from additive.artifacts.base_check import is_adopted
from additive.artifacts.content import ADAPTER_CONFIG
from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact, BaseIdentity
from additive.deltas.peft_config import read_adapter_config
from additive.deltas.shared_inputs import shared_inputs
from additive.errors import CompatibilityError, UnknownName, UsageError
from additive.merge.methods import METHODS
from additive.merge.methods.catalogue import about
from additive.spec.method import MethodSpec
from additive.spec.recipe import DEFAULT_METHOD, Recipe
from additive.types.digests import Digest, digest_json, short
from additive.types.references import each_once, merge_name, parse_reference
from additive.workspace.inputs import Split, split_digests
from additive.workspace.recipes import check_merge_name, resolve_recipe
from additive.workspace.workspace import Workspace

REQUEST_VERSION = 2


SHARED_VERSION = 1


SHARING = "share"


LORA_METHOD, OTHER_METHOD = "swudi", "task_arithmetic"
"""What the method `auto` stands for: where every source is plain LoRA, and elsewhere.

Spectra of factors are a few R×R steps and kept more of the worst domain than the sum did (decision
0040); those of a full fine-tune are a dense decomposition of every matrix.
"""


SHARED_INPUTS = 0.3
"""From here two adapters share so much of their inputs that LORA_METHOD would take apart what each
does on its own; the same share from which a diagnosis says *overlap*. Decision 0051."""


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
class RowsFile:
    """A data file of a domain that decides a merge, as it was when the merge was requested.

    name  relative to the domain's directory
    """

    domain: str
    name: str
    path: Path
    digest: Digest


@dataclass(frozen=True)
class MergeRequest:
    """A recipe with its sources resolved: all that decides a merge, before its scale is known.

    recipe      with the method that `auto` stands for and the merge's name filled in
    base        what every source was trained on
    sources     in the order of their digests
    validation  the files that choose the scale; empty where it is a number
    prompts     the training files that weigh the sources, for methods that need them
    notes       what the user should know about a choice that was made for them
    """

    recipe: Recipe
    base: BaseIdentity
    sources: tuple[RequestedSource, ...]
    validation: tuple[RowsFile, ...]
    prompts: tuple[RowsFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The merge's name."""
        return self.recipe.name

    def record(self) -> dict[str, Any]:
        """All that decides the merge, in an order that does not depend on the command line."""
        inputs = {
            "validation": digests_by_name(self.validation),
            "prompts": digests_by_name(self.prompts),
        }
        return {
            "version": REQUEST_VERSION,
            "base": self.base.digest,
            "sources": [source.record() for source in self.sources],
            **self.recipe.resolved(),
            **{key: files for key, files in inputs.items() if files},
        }

    def rows(self) -> dict[Path, Digest]:
        """The data files that decide the merge, as they were read."""
        return {file.path: file.digest for file in (*self.validation, *self.prompts)}


def digests_by_name(files: Sequence[RowsFile]) -> dict[str, Digest]:
    """Data files by domain and name, `math/validation.jsonl`, wherever the workspace lies."""
    digests = {f"{file.domain}/{file.name}": file.digest for file in files}
    return dict(sorted(digests.items()))


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
    fields = {key: value for key, value in options.items() if value is not None}
    weights, parameters = fields.pop("weights", {}), fields.pop("parameters", {})
    recipe, scale_is_default = _written_recipe(workspace, names)
    sources = _sources(workspace, recipe, weights)
    for source in sources:
        _check_base(source.artifact, base)
    ordered = tuple(sorted(sources, key=lambda source: source.artifact.digest))
    directories = {source.artifact.name: source.directory for source in ordered}
    method, notes = resolve_method(
        recipe.method,
        fields.pop("method", None),
        parameters,
        directories,
        lambda: _most_shared(workspace, ordered),
    )
    fields["method"] = method
    fields["rules"] = (*fields.pop("rules", ()), *recipe.rules)
    fields["name"] = _name(workspace, recipe, sources, fields.pop("name", None))
    validation = _rows_files(workspace, ordered, "validation")
    if "scale" not in fields and scale_is_default and not validation:
        shared = [note for note in notes if SHARING in note]
        if shared:
            raise UsageError(
                f"the scale of this merge has to be chosen: {shared[0].partition(': ')[2]}, and"
                " there are no validation rows to choose it on",
                help=f"additive merge {' '.join(names)} --scale 0.7, or give a domain rows of its"
                " own: data.validation in domain.yaml",
            )
        fields["scale"], notes = 1.0, (*notes, NO_ROWS)
    recipe = _with_options(recipe, fields)
    methods = [recipe.method.name, *(rule.method.name for rule in recipe.rules)]
    return MergeRequest(
        recipe=recipe,
        base=base,
        sources=ordered,
        validation=validation if recipe.scale == "validation" else (),
        prompts=_prompts(workspace, ordered) if any(map(_needs_prompts, methods)) else (),
        notes=notes,
    )


def _written_recipe(workspace: Workspace, names: Sequence[str]) -> tuple[Recipe, bool]:
    """The recipe before any option, and whether neither it nor additive.yaml decides the scale."""
    name = resolve_recipe(workspace, names[0]) if len(names) == 1 else None
    if name is not None:
        return workspace.recipe(name), False
    defaults = workspace.spec.merge
    sources = tuple({"domain": name} for name in each_once(names))
    recipe = Recipe.model_validate({"version": 1, "sources": sources, **dict(defaults)})
    return recipe, "scale" not in defaults.model_fields_set


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


def resolve_specialist(workspace: Workspace, text: str) -> tuple[Artifact, float | None]:
    """The specialist that a reference means, and its snapshot.

    Raises: UsageError, UnknownName saying how to train it; IntegrityError when its bytes changed.
    """
    reference, store = parse_reference(text), workspace.store
    name = reference.name
    if not store.versions(name):
        domains = workspace.domain_names()
        if name not in domains:
            newest = [artifact for n in store.names() for artifact in store.current(n)[-1:]]
            merges = {artifact.name for artifact in newest if artifact.manifest.kind == "merge"}
            raise UnknownName("specialist", name, {*domains, *store.names()} - merges)
        if workspace.domain(name).adopted:
            raise UsageError(
                f"domain {name!r} is adopted and its specialist is not in this store",
                help=f"additive adopt DIR --as {name}",
            )
        raise UsageError(
            f"domain {name!r} is not trained yet; a merge needs its specialist",
            help=f"additive train {name}",
        )
    artifact = store.resolve(reference)
    if artifact.manifest.kind != "specialist":
        raise UsageError(
            f"source is the {artifact.manifest.kind} {artifact.reference}; expected a specialist",
            help="name the domains that went into it instead",
        )
    require_unchanged(artifact, workspace.cache)
    return artifact, reference.snapshot


def _check_base(artifact: Artifact, base: BaseIdentity) -> None:
    own = artifact.manifest.base
    if own is not None and own.digest != base.digest:
        name = artifact.name
        raise CompatibilityError(
            f"{artifact.reference} was trained on {own.id}@{short(own.digest)}; the workspace's"
            f" base is {base.id}@{short(base.digest)}: deltas of different bases do not add",
            help=f"additive adopt DIR --as {name}"
            if is_adopted(artifact.manifest)
            else f"additive train {name}",
        )


def resolve_method(
    written: MethodSpec,
    option: str | None,
    parameters: Mapping[str, Any],
    directories: Mapping[str, Path],
    measure: Callable[[], tuple[float, tuple[str, str]] | None],
) -> tuple[MethodSpec, tuple[str, ...]]:
    """The method that is written, unless an option names another; `auto` by what the sources are.

    parameters   of the command line, over the written ones of the same method
    directories  of the specialists, by name
    measure      the pair of sources that shares most of its inputs (`deltas.shared_inputs`)

    Returns the method, and a note that names the sources for which `auto` is not LORA_METHOD: one
    that is no plain LoRA, or two that share their inputs.

    Raises: CompatibilityError, IntegrityError for an adapter whose configuration is refused.
    """
    name = written.name if option is None else option
    inherited = written.parameters.value if name == written.name else {}
    if name != DEFAULT_METHOD:
        unchanged = name == written.name and not parameters
        return (written if unchanged else MethodSpec.of(name, {**inherited, **parameters})), ()
    others = [source for source, place in directories.items() if not _is_plain_lora(place)]
    found = None if others else measure()
    if found is not None and found[0] >= SHARED_INPUTS:
        share, (one, other) = found
        note = f"method {OTHER_METHOD}: {one} and {other} {SHARING} {share:.0%} of their inputs"
        return MethodSpec.of(OTHER_METHOD, {**inherited, **parameters}), (note,)
    if not others:
        return MethodSpec.of(LORA_METHOD, {**inherited, **parameters}), ()
    note = (
        f"method {OTHER_METHOD}: {LORA_METHOD} is for plain LoRA, which {', '.join(others)}"
        f" {'is' if len(others) == 1 else 'are'} not"
    )
    return MethodSpec.of(OTHER_METHOD, {**inherited, **parameters}), (note,)


def _most_shared(
    workspace: Workspace, sources: Sequence[RequestedSource]
) -> tuple[float, tuple[str, str]] | None:
    """`shared_inputs` of the sources, kept in the cache by their digests."""
    records = [[source.artifact.digest, source.snapshot] for source in sources]
    path = workspace.cache / "shared_inputs" / f"{digest_json([SHARED_VERSION, records])}.json"
    try:
        share, (one, other) = json.loads(path.read_text(encoding="utf-8"))
        return float(share), (str(one), str(other))
    except (OSError, ValueError, TypeError):
        pass
    found = shared_inputs({source.artifact.name: source.directory for source in sources})
    if found is not None:
        write_json(path, [found[0], list(found[1])])
    return found


def _is_plain_lora(directory: Path) -> bool:
    if not (directory / ADAPTER_CONFIG).exists():
        return False
    config = read_adapter_config(directory)
    return config.kind == "lora" and not config.dora


def _name(
    workspace: Workspace, recipe: Recipe, sources: Sequence[RequestedSource], option: str | None
) -> str:
    name = recipe.name if option is None else option
    if name or option is not None:
        return check_merge_name(workspace, name)
    artifacts = [source.artifact for source in sources]
    return merge_name([one.name for one in artifacts], [one.digest for one in artifacts])


def _rows_files(
    workspace: Workspace, sources: Sequence[RequestedSource], split: Split
) -> tuple[RowsFile, ...]:
    return tuple(
        RowsFile(
            source.artifact.name, workspace.data_name(source.artifact.name, path), path, digest
        )
        for source in sources
        for path, digest in split_digests(workspace, source.artifact.name, split).items()
    )


def _prompts(workspace: Workspace, sources: Sequence[RequestedSource]) -> tuple[RowsFile, ...]:
    """The training files of every source. Raises: UsageError for a source without any."""
    files = _rows_files(workspace, sources, "train")
    for source in sources:
        name = source.artifact.name
        if name not in [file.domain for file in files]:
            raise UsageError(
                f"{source.artifact.reference} has no training rows here; this method weighs"
                " sources by their own prompts",
                help=f"give the domain {name} its train.jsonl, or take a method without data",
            )
    return files


def _needs_prompts(method: str) -> bool:
    """Whether a method has `needs_grams`; known of the built-ins without importing torch."""
    if method in METHODS.builtins:
        return "prompts" in about(method).needs
    return method in METHODS and METHODS.get(method).needs_grams
