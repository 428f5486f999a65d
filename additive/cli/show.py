"""`additive show NAME`: one artifact, what it is made of and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import additive
from additive.artifacts.base_check import base_check_of
from additive.artifacts.manifest import Artifact, Manifest
from additive.cli.invocation import Invocation
from additive.cli.output import clean
from additive.report.evidence import training_story
from additive.types.digests import short
from additive.types.references import parse_reference
from additive.types.units import size_text


@click.command()
@click.argument("name")
@click.pass_obj
def command(invocation: Invocation, name: str) -> None:
    """Show what the artifact NAME is made of and where it comes from.

    NAME is a reference (math, math@9f3c, math#0.5) or an artifact's directory, which needs no
    workspace. With --json the manifest itself is printed.

    \b
    Examples:
      additive show math
      additive show math+code+safety --json
    """
    artifact = additive.find_artifact(name, invocation.directory)
    path = artifact.path
    if "#" in name and "/" not in name:
        path = artifact.snapshot_path(parse_reference(name).snapshot)
    fields = [*_lines(artifact.manifest, path), *_adoption(artifact)]
    lines = [(key, clean(value)) for key, value in fields if value]
    width = max(len(key) for key, _ in lines)
    text = "\n".join(f"{key:<{width}}  {value}" for key, value in lines)
    invocation.output.result(artifact.manifest.fields(), text)


def _lines(manifest: Manifest, path: Path) -> Iterator[tuple[str, str]]:
    yield manifest.kind, f"{manifest.name}@{manifest.digest}"
    yield "path", str(path)
    yield from _origin(manifest)
    yield from _training(manifest)
    size = sum(entry.size for entry in manifest.files.values())
    yield "files", f"{len(manifest.files)}, {size_text(size)}"
    yield "versions", ", ".join(f"{name} {v}" for name, v in sorted(manifest.versions.items()))
    for note in manifest.notes:
        yield "note", note


def _origin(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.base is not None:
        at = f" at {manifest.base.revision}" if manifest.base.revision else ""
        yield "base", f"{manifest.base.id}@{short(manifest.base.digest)}{at}"
    for parent in manifest.parents:
        weight = "" if parent.weight is None else f" × {parent.weight:g}"
        yield "source", f"{parent.name}@{short(parent.digest)}{weight}"
    if isinstance(manifest.spec.get("adapt"), dict):
        yield "adapt", _adaptation(manifest.spec["adapt"])
    for key in ("method", "scale", "output", "dtype"):
        if manifest.spec.get(key) is not None:
            yield key, _inline(manifest.spec[key])
    for name, entry in sorted(manifest.data.items()):
        yield "data", f"{name}: {entry.rows} rows, {short(entry.sha256)}, {entry.license}"


def _training(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.seed is not None:
        yield "seed", str(manifest.seed)
    if manifest.saturation:
        yield "training", training_story(manifest)
    scored = [point for point in manifest.curve if point.score is not None]
    if scored:
        last = scored[-1]
        yield "curve", f"{len(scored)} evaluations, {last.suite} {last.score:.3f} at {last.step}"
    if manifest.snapshots:
        yield "snapshots", ", ".join(f"{s.fraction:g} (step {s.step})" for s in manifest.snapshots)
    if manifest.norms:
        total = sum(norm * norm for norm in manifest.norms.values()) ** 0.5
        yield "delta norm", f"{total:.4g} over {len(manifest.norms)} parameters"
    if manifest.times.get("rounded_away") is not None:
        yield "rounded", f"{manifest.times['rounded_away']:.1%} of the delta was rounded away"


def _adoption(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Where an adopted specialist comes from, and how sure its base is."""
    check = base_check_of(artifact)
    if check is None:
        return
    origin = artifact.manifest.times.get("adopted", {})
    yield "adopted", f"{origin.get('id')}, written by {origin.get('trainer')}"
    yield "claims", f"trained on {origin['claims']}" if origin.get("claims") else ""
    yield f"base {check.state}", check.why


def _adaptation(adapt: dict[str, Any]) -> str:
    """`lora, rank 8, alpha 16, all-linear`, without keys that have their default."""
    if adapt.get("kind") != "lora":
        names = {"full": "full fine-tune", "ia3": "IA3"}
        return names.get(str(adapt.get("kind")), _inline(adapt))
    parts = ["lora", *(f"{key} {_inline(adapt[key])}" for key in ("rank", "alpha") if key in adapt)]
    parts += [_inline(adapt["targets"])] if adapt.get("targets") else []
    parts += ["rsLoRA"] if adapt.get("rslora") else []
    parts += [f"dropout {_inline(adapt['dropout'])}"] if adapt.get("dropout") else []
    parts += [f"init {adapt['init']}"] if adapt.get("init", "default") != "default" else []
    return ", ".join(parts)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        named = [str(value["name"])] if "name" in value else []
        rest = [f"{key} {_inline(inner)}" for key, inner in value.items() if key != "name"]
        return ", ".join([*named, *rest])
    if isinstance(value, list):
        return " ".join(_inline(inner) for inner in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
