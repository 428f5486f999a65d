"""`additive merge FILE` for a mergekit file: its models found, merged on our stream, frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.manifest import Artifact, BaseIdentity, ManifestDraft, Parent
from additive.errors import AdditiveError, CompatibilityError, UsageError
from additive.spec.mergekit import MergekitSpec
from additive.spec.recipe import option_name
from additive.spec.yaml import Located
from additive.types.digests import digest_json
from additive.types.progress import Listener, silent, under
from additive.verbs.built_merge import BuiltMerge, build_once, find_merge, rounding_notes
from additive.verbs.merge_request import resolve_specialist
from additive.workspace import environment
from additive.workspace.recipes import check_merge_name, find_model, is_base, resolve_recipe
from additive.workspace.workspace import Workspace

if TYPE_CHECKING:
    from additive.merge.mergekit.plan import KitPlan, KitRecipe
    from additive.merge.recipe import SourceSpec


SCHEMA = "additive.plan/1"


@dataclass(frozen=True)
class KitRequest:
    """A mergekit file whose models are found; `parents` are the specialists of this workspace."""

    name: str
    base: BaseIdentity
    recipe: KitRecipe
    parents: tuple[Parent, ...]

    def record(self) -> dict[str, Any]:
        """All that decides the merge."""
        return {"version": 1, "base": self.base.digest, **self.recipe.resolved()}


@dataclass(frozen=True)
class _Found:
    source: SourceSpec | None
    parent: Parent | None = None


def mergekit_name(workspace: Workspace, names: Sequence[str]) -> str | None:
    """The recipe that is meant when it is a mergekit file, None for everything else.

    Raises: as `resolve_recipe`.
    """
    named = resolve_recipe(workspace, names[0]) if len(names) == 1 else None
    return named if named is not None and workspace.is_mergekit(named) else None


def request_mergekit(
    workspace: Workspace, name: str, options: Mapping[str, Any], base: BaseIdentity
) -> KitRequest:
    """Find the models of a mergekit file.

    Raises: UsageError for options that the file itself answers; SpecError; CompatibilityError when
    its base is not the workspace's.
    """
    from additive.merge.mergekit.plan import KitRecipe

    _check_options(options)
    spec, file = workspace.mergekit(name)
    _check_base(workspace, spec, file)
    found = {text: _find(workspace, text, file, path, base) for text, path in spec.mentions()}
    models = {text: one.source for text, one in found.items()}
    parents = {one.parent.digest: one.parent for one in found.values() if one.parent is not None}
    asked = check_merge_name(workspace, name if options.get("name") is None else options["name"])
    return KitRequest(
        name=asked,
        base=base,
        recipe=KitRecipe(spec, file, models, asked, options.get("seed") or 0),
        parents=tuple(parents[digest] for digest in sorted(parents)),
    )


def plan_mergekit(workspace: Workspace, request: KitRequest) -> KitPlan:
    """The plan; every refusal that headers can give comes from here."""
    from additive.merge.mergekit.plan import plan_kit

    root = workspace.store.root
    root.mkdir(parents=True, exist_ok=True)
    return plan_kit(request.recipe, workspace.base_directory(), request.base, disk=root)


def plan_text(document: Mapping[str, Any]) -> str:
    """A plan for people."""
    size = {key: f"{value / 1e6:.1f} MB" for key, value in document["bytes"].items()}
    reused = document["reuses"]
    lines = [
        f"merge    {document['name']} (a mergekit file)",
        f"sources  {', '.join(document['sources']) or 'the base alone'}",
        f"method   {document['method']['name']}",
        f"tensors  {document['tensors']['merged']} merged",
        f"reads    {size['read']}",
        f"writes   {size['written']} (checkpoint)",
        f"memory   {size['memory']} over the imports, at most",
        f"state    {f'nothing to do: {reused} is there' if reused else 'would be built'}",
    ]
    return "\n".join(lines)


def plan_document(workspace: Workspace, request: KitRequest) -> dict[str, Any]:
    """`additive merge FILE --plan --json`: what would be read, written and needed."""
    made = plan_mergekit(workspace, request)
    reused = find_merge(workspace, request)
    return {
        "schema": SCHEMA,
        "name": request.name,
        "would": "reuse" if reused else "build",
        "reuses": reused.reference if reused else None,
        "sources": [str(source) for source in request.recipe.sources()],
        "method": {"name": f"mergekit/{request.recipe.spec.merge_method}"},
        "dtype": request.recipe.spec.output_dtype,
        "tensors": {"copied": 0, "merged": len(made.planned)},
        "bytes": {"read": made.read, "written": made.written, "memory": made.memory},
    }


def build_mergekit(
    workspace: Workspace, request: KitRequest, progress: Listener = silent, *, wait: bool = False
) -> BuiltMerge:
    """The merge that a mergekit file describes, built or found again.

    Raises: LockedError; SpecError; CompatibilityError, IntegrityError, SecurityError for the
    sources; ResourceError.
    """

    told = under(f"merge {request.name}", progress)

    def freeze() -> Artifact:
        return _execute(workspace, request, plan_mergekit(workspace, request), told)

    return build_once(workspace, request, freeze, progress, wait=wait)


def _execute(
    workspace: Workspace, request: KitRequest, made: KitPlan, progress: Listener
) -> Artifact:
    from additive.merge.mergekit.engine import execute_kit

    started = environment.now()
    with workspace.store.staging("merge", request.name) as staged:
        report = execute_kit(made, staged, progress)
        times = {"started": started, "frozen": environment.now()}
        draft = ManifestDraft(
            kind="merge",
            name=request.name,
            base=request.base,
            parents=request.parents,
            spec={**request.recipe.resolved(), "request": request.record()},
            seed=request.recipe.seed,
            norms=report.norms,
            notes=(*report.notes, *rounding_notes(report.rounded_away)),
            versions=environment.versions(),
            hardware=environment.hardware(),
            times={**times, "rounded_away": report.rounded_away},
        )
        return workspace.store.freeze(Path(staged), draft)


def _check_options(options: Mapping[str, Any]) -> None:
    if options.get("device") not in (None, "cpu"):
        raise UsageError(
            f"--device is {options['device']}; mergekit's methods run on the CPU here",
            help="leave --device out",
        )
    for key, value in options.items():
        if key not in ("seed", "name", "device") and value not in (None, (), {}):
            raise UsageError(
                f"{option_name(key)} cannot be used with a mergekit file", help="change the file"
            )


def _check_base(workspace: Workspace, spec: MergekitSpec, file: Located) -> None:
    for text, path in spec.bases():
        if not is_base(workspace, text):
            under, plus, _ = text.partition("+")
            raise CompatibilityError(
                f"{path[-1]} is {text!r}; the workspace's base is {workspace.base.id!r}",
                where=str(file.position(*path)),
                help="a base with an adapter on it is another base: merge the two first, and make"
                " a workspace on the result (additive init DIR --base MERGED)"
                if plus and is_base(workspace, under)
                else "merge in a workspace of that base: additive init DIR --base " + text,
            )


def _find(
    workspace: Workspace, text: str, file: Located, path: tuple[str | int, ...], base: BaseIdentity
) -> _Found:
    """A specialist by reference, the base, or files."""
    if is_base(workspace, text):
        return _Found(None)
    try:
        return _specialist(workspace, text) or _files(workspace, text, base)
    except UsageError as error:
        raise file.error(error.message, *path, help=error.help) from None
    except AdditiveError as error:
        error.where = error.where or str(file.position(*path))
        raise


def _specialist(workspace: Workspace, text: str) -> _Found | None:
    from additive.merge.recipe import SourceSpec

    name = text.partition("@")[0].partition("#")[0]
    if name not in workspace.store.names():
        return None
    artifact, snapshot = resolve_specialist(workspace, text)
    digest = artifact.digest if snapshot is None else digest_json([artifact.digest, snapshot])
    source = SourceSpec(artifact.name, digest, artifact.snapshot_path(snapshot), finite=True)
    return _Found(source, Parent(name=artifact.name, digest=artifact.digest))


def _files(workspace: Workspace, text: str, base: BaseIdentity) -> _Found:
    """Files that nobody froze here go by the digest of their content; frozen ones by their own."""
    from additive.artifacts.content import directory_digests
    from additive.artifacts.manifest import read_manifest
    from additive.merge.recipe import SourceSpec

    found = find_model(workspace, text)
    if found.base is not None and not is_base(workspace, found.base):
        raise UsageError(
            f"model is on the base {found.base!r}; the workspace's base is {base.id!r}"
        )
    if (found.directory / "manifest.json").is_file():
        manifest = read_manifest(found.directory)
        inside = found.directory.resolve().is_relative_to(workspace.store.root.resolve())
        parent = Parent(name=manifest.name, digest=manifest.digest) if inside else None
        return _Found(SourceSpec(manifest.name, manifest.digest, found.directory), parent)
    digests = directory_digests(found.directory, workspace.cache)
    if digests.weights == base.weights:
        return _Found(None)
    identity = digest_json([digests.weights, digests.config])
    return _Found(SourceSpec(found.directory.name, identity, found.directory))
