"""Export a recipe as a mergekit file, with the digests and the scale of what it was built into."""

from __future__ import annotations

from additive.errors import UsageError
from additive.merge.mergekit.export import check_exportable, to_mergekit
from additive.verbs.built_merge import find_merge
from additive.verbs.merge import build_recipe
from additive.verbs.merge_request import request_merge
from additive.verbs.mergekit import mergekit_name
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


def export_mergekit(workspace: Workspace, name: str) -> str:
    """The YAML of a recipe that `mergekit-yaml` and `additive merge` both run to the same weights.

    A scale that validation rows choose is that of the newest build.

    Raises: UnknownName, SpecError; UsageError for what mergekit computes differently, and for a
    scale that is still to be chosen.
    """
    if mergekit_name(workspace, [name]) is not None:
        raise UsageError(
            f"{name} is a mergekit file already", help="mergekit-yaml runs it as it is"
        )
    request = request_merge(workspace, [name], {}, base_identity(workspace))
    recipe = build_recipe(workspace, request)
    check_exportable(recipe)
    if isinstance(request.recipe.scale, str):
        merge = find_merge(workspace, request)
        if merge is None:
            raise UsageError(
                f"scale of {request.name} is chosen on validation rows; mergekit needs a number",
                help=f"additive merge {request.name} --no-check, which chooses it; then export"
                " again",
            )
        recipe = recipe.at_scale(float(merge.manifest.spec["scale"]))
    return to_mergekit(recipe, workspace.base_directory())
