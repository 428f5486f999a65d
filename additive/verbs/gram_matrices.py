"""Grams: what each domain's own prompts look like to the adapted modules, kept in sidecars.

A method with `needs_grams` (regmean) weighs directions by how much a domain's inputs use them. The
specialist reads some of its domain's training rows once; per parameter an R×R matrix is kept, R the
sum of the sources' ranks, as `sidecars/<specialist>/grams-<digest>.safetensors`. The digest is that
of all sources and of the rows, so nothing old is ever taken for new.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from additive.artifacts.atomic import write_tensors
from additive.types.digests import Digest, digest_json
from additive.types.progress import Listener, Progress
from additive.verbs.requests import MergeRequest, RequestedSource
from additive.workspace import Workspace
from additive.workspace.inputs import split_rows

if TYPE_CHECKING:
    from torch import Tensor

    from additive.merge.sources import Sources


ROWS = 256


def gram_files(workspace: Workspace, request: MergeRequest) -> dict[Digest, Path]:
    """Where the Grams of every source lie, or will lie; empty for a method that needs none."""
    if not request.prompts:
        return {}
    sources = [[source.artifact.digest, source.snapshot] for source in request.sources]
    key = digest_json([ROWS, dict(request.prompts), sources])
    return {
        source.artifact.digest: workspace.store.sidecar(source.artifact.digest)
        / f"grams-{key[:16]}.safetensors"
        for source in request.sources
    }


def ensure_grams(workspace: Workspace, request: MergeRequest, progress: Listener) -> None:
    """Compute the Grams that are not there yet; nothing for a method that needs none.

    Raises: UsageError for a source without training rows; what opening sources and models refuses.
    """
    files = gram_files(workspace, request)
    missing = [s for s in request.sources if not _is_there(files, s)]
    if not missing:
        return
    from additive.deltas.base import open_base
    from additive.merge.methods.arithmetic import TaskArithmetic
    from additive.merge.recipe import BuiltRecipe
    from additive.merge.sources import open_sources
    from additive.verbs.requests import requested_sources

    recipe = BuiltRecipe(requested_sources(request), TaskArithmetic())
    opened = open_sources(recipe, open_base(workspace.base_directory()))
    try:
        for source in missing:
            said = f"reading what {source.artifact.name} sees on its training prompts"
            progress(Progress(f"merge {request.name}", said))
            _write(workspace, opened, source, files[source.artifact.digest])
    finally:
        opened.close()


def _is_there(files: Mapping[Digest, Path], source: RequestedSource) -> bool:
    path = files.get(source.artifact.digest)
    return path is None or path.exists()


def _write(workspace: Workspace, opened: Sources, source: RequestedSource, path: Path) -> None:
    from additive.models.gram_matrices import input_grams
    from additive.models.loading import load_specialist

    directions = input_directions(opened)
    model = load_specialist(workspace.base_directory(), source.directory)
    grams = input_grams(
        model, _sequences(workspace, source.artifact.name), dict(directions.values())
    )
    write_tensors(path, {name: grams[module] for name, (module, _) in directions.items()})


def input_directions(opened: Sources) -> dict[str, tuple[str, Tensor]]:
    """Per parameter its module and all sources' factors on the side of its inputs, on top of each
    other in the stack's order: A, or Bᵀ where inputs are rows (Conv1D, embeddings).

    Parameters that no module of their own reads (`target_parameters`) have none; a plan refuses
    methods that would need them.
    """
    import torch

    from additive.deltas.model import LowRank

    found = {}
    for name in opened.parameters():
        first = opened.touching(name)[0]
        target = opened.sources[first].target(name)
        stack = opened.stack(name, 0)
        low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
        if target is None or target.orientation == "parameter" or len(low) < len(stack.deltas):
            continue
        factors = [delta.B.T if stack.inputs == "rows" else delta.A for delta in low]
        found[name] = (target.module, torch.cat(factors))
    return found


def _sequences(workspace: Workspace, name: str) -> list[tuple[int, ...]]:
    from additive.models.loading import load_tokenizer
    from additive.models.template import encode

    spec = workspace.domain(name)
    rows = split_rows(workspace, name, "train")
    step = max(1, len(rows) // ROWS)
    chosen = rows[::step][:ROWS]
    tokenizer = load_tokenizer(workspace.base_directory())
    prompts, answers = [row.prompt for row in chosen], [row.completion or "" for row in chosen]
    return [example.ids for example in encode(tokenizer, prompts, answers, spec.system)]
