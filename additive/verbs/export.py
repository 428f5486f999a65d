"""A recipe as a mergekit file, with the digests and the scale of what it was built into."""

from __future__ import annotations

from additive.errors import UsageError
from additive.verbs.built import find_merge
from additive.verbs.composing import build_recipe
from additive.verbs.requests import MergeRequest, request_merge
from additive.workspace import Workspace
from additive.workspace.inputs import base_identity


def export_mergekit(workspace: Workspace, name: str) -> str:
    """The YAML of a recipe that `mergekit-yaml` and `additive merge` both run to the same weights.

    Raises: UnknownName, SpecError; UsageError for what mergekit computes differently, and for a
    scale that is still to be chosen.
    """
    from additive.merge.mergekit.export import check_exportable, to_mergekit
    from additive.verbs.mergekit import mergekit_name

    if mergekit_name(workspace, [name]) is not None:
        raise UsageError(
            f"{name} is a mergekit file already", help="mergekit-yaml runs it as it is"
        )
    request = request_merge(workspace, [name], {}, base_identity(workspace))
    check_exportable(build_recipe(workspace, request, 1.0))
    recipe = build_recipe(workspace, request, _scale(workspace, request))
    return to_mergekit(recipe, workspace.base_directory())


def _scale(workspace: Workspace, request: MergeRequest) -> float:
    """The recipe's scale; where validation rows choose it, that of the newest build."""
    if isinstance(request.recipe.scale, int | float):
        return float(request.recipe.scale)
    built = find_merge(workspace, request)
    if built is None:
        raise UsageError(
            f"scale of {request.name} is chosen on validation rows when mergekit needs a number",
            help=f"additive merge {request.name} --no-check, which chooses it, then export again",
        )
    return float(built.manifest.spec["scale"])
