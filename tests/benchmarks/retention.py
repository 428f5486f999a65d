"""The held-out suites of a trained workspace, asked of any merged model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from additive.artifacts.manifest import Artifact
from additive.evaluate import Setting, Subject, evaluate
from additive.models.loading import load_model, load_specialist, load_tokenizer
from additive.types.digests import digest_json
from additive.workspace.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """A workspace's newest specialists with what they and the base score, suite by suite."""

    workspace: Workspace
    specialists: tuple[Artifact, ...]
    items: int
    base_scores: dict[str, float]
    own_scores: dict[str, float]

    @property
    def base(self) -> Path:
        """The base's directory."""
        return self.workspace.base_directory()

    @property
    def adapters(self) -> tuple[Path, ...]:
        """The specialists' directories."""
        return tuple(artifact.path for artifact in self.specialists)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The specialists' ranks."""
        configs = [json.loads((p / "adapter_config.json").read_text()) for p in self.adapters]
        return tuple(config["r"] for config in configs)

    def retention(self, model: Path) -> dict[str, float]:
        """(merged − base) / (specialist − base) of every target where the specialist gained."""
        subject = Subject("merged", digest_json(str(model)), lambda: load_model(model))
        found = _scores(self.workspace, subject, self.items, None)
        gains = {s: own - self.base_scores[s] for s, own in self.own_scores.items()}
        return {s: (found[s] - self.base_scores[s]) / g for s, g in gains.items() if g > 0.05}


def suites_of(root: Path, items: int) -> Asked:
    """Ask base and specialists of a workspace their targets, so many items of each.

    Raises: UsageError when there is no workspace.
    """
    workspace = Workspace(root)
    names = [n for n in workspace.domain_names() if workspace.store.versions(n)]
    specialists = tuple(workspace.store.versions(name)[-1] for name in names)
    base = workspace.base_directory()
    own: dict[str, float] = {}
    for artifact in specialists:
        subject = Subject(
            artifact.name, artifact.digest, lambda path=artifact.path: load_specialist(base, path)
        )
        own |= _scores(workspace, subject, items, artifact.name)
    whole = Subject("base", digest_json("base"), lambda: load_model(base))
    return Asked(workspace, specialists, items, _scores(workspace, whole, items, None), own)


def _scores(
    workspace: Workspace, subject: Subject, items: int, domain: str | None
) -> dict[str, float]:
    setting = Setting(load_tokenizer(workspace.base_directory()))
    found: dict[str, float] = {}
    for use in workspace.suites(workspace.domain_names()):
        if use.role == "target" and domain in (None, use.spec.domain):
            spec = use.spec.model_copy(update={"limit": items})
            for result in evaluate(subject, spec, use.directory, setting):
                found[result.suite] = result.mean
    return found
