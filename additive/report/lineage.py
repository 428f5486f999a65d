"""Where a merge comes from, as a tree, and the commands that make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from additive.artifacts.manifest import BaseIdentity, DataEntry, Manifest, Parent
from additive.report.evidence import Evidence, training_story
from additive.report.suggest import quote
from additive.report.text import one_line, plural
from additive.types.digests import short


@dataclass(frozen=True)
class LineageNode:
    """One thing that went into a merge, with what went into it."""

    kind: str
    name: str
    digest: str = ""
    details: tuple[str, ...] = ()
    children: tuple[LineageNode, ...] = ()


def lineage(evidence: Evidence) -> LineageNode | None:
    """Merge, base, specialists and their data; null without the merge's manifest."""
    merge = evidence.merge
    if merge is None:
        return None
    manifests = {manifest.digest: manifest for manifest in evidence.specialists}
    sources = tuple(
        _source(parent, manifests.get(parent.digest), evidence.base_checks.get(parent.digest))
        for parent in merge.parents
    )
    base = (_base(merge.base),) if merge.base else ()
    return LineageNode("merge", merge.name, merge.digest, _how(merge), (*base, *sources))


def composition(evidence: Evidence) -> str:
    """`safety@0501b42d + math@e2c77db4 on tiny@48f41ec4: task_arithmetic, scale 1`."""
    merge = evidence.merge
    if merge is None:
        return ""
    sources = " + ".join(f"{parent.name}@{short(parent.digest)}" for parent in merge.parents)
    base = f" on {merge.base.id}@{short(merge.base.digest)}" if merge.base else ""
    how = ", ".join(part for part in _how(merge) if part)
    return one_line(f"{sources}{base}: {how}")


def _how(merge: Manifest) -> tuple[str, ...]:
    method = method_of(merge)
    parameters = [
        f"{key} {_value(value)}" for key, value in sorted(method.items()) if key != "name"
    ]
    said = [f"{key} {_value(merge.spec[key])}" for key in ("scale", "output") if key in merge.spec]
    return (str(method.get("name", "")), *parameters, *said, *merge.notes)


def method_of(merge: Manifest) -> Mapping[str, Any]:
    """The merge's method: its name and its parameters."""
    method = merge.spec.get("method", {})
    return method if isinstance(method, Mapping) else {"name": str(method)}


def _base(base: BaseIdentity) -> LineageNode:
    revision = (f"revision {base.revision}",) if base.revision else ()
    parts = (("weights", base.weights), ("tokenizer", base.tokenizer), ("template", base.template))
    digests = tuple(f"{name} {short(digest)}" for name, digest in parts if digest)
    return LineageNode("base", base.id, base.digest, (*revision, *digests))


def _source(parent: Parent, manifest: Manifest | None, standing: str | None) -> LineageNode:
    weight = () if parent.weight is None else (f"weight {parent.weight:g}",)
    if manifest is None:
        return LineageNode("specialist", parent.name, parent.digest, weight)
    story = training_story(manifest)
    said = tuple(filter(None, (story, standing)))
    details = (*weight, *said, *_adapt(manifest), *manifest.notes)
    data = tuple(_data(name, entry) for name, entry in sorted(manifest.data.items()))
    return LineageNode("specialist", parent.name, parent.digest, details, data)


def _adapt(manifest: Manifest) -> tuple[str, ...]:
    adapt = manifest.spec.get("adapt", {})
    kind = adapt.get("kind") if isinstance(adapt, Mapping) else None
    words = {"full": "full fine-tune", "ia3": "IA3"}
    if kind == "lora":
        words["lora"] = f"LoRA rank {adapt.get('rank', '?')}"
    return tuple(filter(None, [words.get(str(kind)), _seed(manifest)]))


def _seed(manifest: Manifest) -> str:
    return "" if manifest.seed is None else f"seed {manifest.seed}"


def _data(name: str, entry: DataEntry) -> LineageNode:
    details = (plural(entry.rows, "row"), f"license {entry.license or 'not stated'}")
    return LineageNode("data", name, entry.sha256, details)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else one_line(str(value))


def commands(evidence: Evidence) -> tuple[str, ...]:
    """The command lines that make the merge and its check again from the same workspace."""
    merge = evidence.merge
    if merge is None:
        return ()
    made = sorted(merge.parents, key=lambda parent: parent.name)
    known = {manifest.digest for manifest in evidence.specialists}
    train = [_making(p, evidence.base_checks) for p in made if p.digest in known]
    return (*train, _merge_command(merge), f"additive check {quote(evidence.check.reference)}")


def _making(parent: Parent, base_checks: Mapping[str, str]) -> str:
    adopted = parent.digest in base_checks
    return f"additive {'adopt DIR --as' if adopted else 'train'} {quote(parent.name)}"


def _merge_command(merge: Manifest) -> str:
    words = ["additive merge"]
    words += [quote(f"{parent.name}@{short(parent.digest)}") for parent in merge.parents]
    method = method_of(merge)
    if method.get("name"):
        words += ["--method", quote(str(method["name"]))]
    for parent in merge.parents:
        if parent.weight not in (None, 1.0):
            words += ["--weight", quote(f"{parent.name}={parent.weight:g}")]
    for key in ("scale", "output", "dtype"):
        if merge.spec.get(key) not in (None, "auto"):
            words += [f"--{key}", quote(_value(merge.spec[key]))]
    for key, value in sorted(method.items()):
        if key not in ("name", "scale"):
            words += ["--set", quote(f"{key}={_value(value)}")]
    return " ".join([*words, *(["--seed", str(merge.seed)] if merge.seed is not None else [])])
