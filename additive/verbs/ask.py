"""Ask several models the same thing: the base, specialists, merges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from additive.artifacts.intact import require_unchanged
from additive.artifacts.manifest import Artifact
from additive.errors import UnknownName, UsageError
from additive.models.generate import generate
from additive.models.loading import load_model, load_specialist, load_tokenizer
from additive.types.references import parse_reference
from additive.workspace.workspace import Workspace

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel


BASE = "base"


@dataclass(frozen=True)
class Answer:
    """The answer of one model; `name` is `name@digest`, or the base's id."""

    name: str
    text: str


def ask_models(
    workspace: Workspace,
    names: Sequence[str],
    prompt: str,
    *,
    max_tokens: int = 128,
    system: str | None = None,
) -> tuple[Answer, ...]:
    """Each model's greedy answer, in the order of the names; the base's alone without any.

    names       the base's id (or `base`), references of specialists, snapshots and merges
    max_tokens  of an answer, at most
    system      system message before the prompt

    Raises: UnknownName, IntegrityError, SecurityError; UsageError where a model's name is all there
    is, so that the prompt was forgotten.
    """
    if not names and prompt in (BASE, workspace.spec.base.model, *workspace.store.names()):
        raise UsageError(
            f"{prompt} is a model; expected a question after the models",
            help=f'additive ask {prompt} "your question"',
        )
    references = list(names or (workspace.spec.base.model,))
    artifacts = [_find(workspace, name) for name in references]
    tokenizer = load_tokenizer(workspace.base_directory())
    answers = []
    for name, artifact in zip(references, artifacts, strict=True):
        snapshot = parse_reference(name).snapshot if artifact else None
        model = load_named(workspace, artifact, snapshot)
        text = generate(model, tokenizer, [prompt], max_tokens, system=system)[0]
        answers.append(Answer(artifact.reference if artifact else name, text))
    return tuple(answers)


def _find(workspace: Workspace, name: str) -> Artifact | None:
    """The artifact of a name; None for the base. Raises: UnknownName."""
    base = workspace.spec.base.model
    if name in (base, BASE):
        return None
    reference = parse_reference(name)
    if not workspace.store.versions(reference.name):
        raise UnknownName("model", reference.name, {base, *workspace.store.names()})
    return workspace.store.resolve(reference)


def load_named(
    workspace: Workspace, artifact: Artifact | None, snapshot: float | None = None
) -> PreTrainedModel:
    """The base (None), a specialist or a merge, as a model in memory.

    Raises: IntegrityError, SecurityError, CompatibilityError.
    """
    base = workspace.base_directory()
    if artifact is None:
        return load_model(base)
    require_unchanged(artifact, workspace.cache)
    directory = artifact.snapshot_path(snapshot)
    if (directory / "adapter_config.json").is_file():
        return load_specialist(base, directory)
    return load_model(directory)
