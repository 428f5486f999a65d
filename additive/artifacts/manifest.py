"""The manifest: everything that is known of a frozen artifact, in one file that proves itself.

`digest` binds what the artifact is (weights, config, tokenizer, template, base, parents, resolved
spec) and nothing about when, where or with which versions it was made. `seal` is the digest of the
whole manifest without the seal, so that a changed byte in anything that is merely recorded shows as
well.

One frozen version of a name, and its snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from additive.artifacts.atomic import render_json
from additive.artifacts.content import directory_digests
from additive.artifacts.seal import MANIFEST, SCHEMA, base_digest, identity, read_fields, seal_of
from additive.errors import IntegrityError, UnknownName
from additive.types.digests import Digest, short

Kind = Literal["specialist", "merge", "base"]


class Frozen(BaseModel):
    """A value that does not change and knows all of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileEntry(Frozen):
    """One file of an artifact: sha256 of its bytes, size in bytes."""

    sha256: Digest
    size: int


class BaseIdentity(Frozen):
    """The base by content; `digest` binds all but id and revision, which say where it came from."""

    id: str
    revision: str | None = None
    weights: Digest
    config: Digest
    tokenizer: Digest | None = None
    template: Digest | None = None
    digest: Digest


class Parent(Frozen):
    """An artifact that this one was made from; `weight` for the sources of a merge."""

    name: str
    digest: Digest
    weight: float | None = None


class DataEntry(Frozen):
    """One data file that went into training."""

    sha256: Digest
    rows: int
    license: str


class CurvePoint(Frozen):
    """One evaluation: score in [0, 1] with its interval, loss in nats per token."""

    step: int
    suite: str
    score: float | None = None
    low: float | None = None
    high: float | None = None
    loss: float | None = None


class Snapshot(Frozen):
    """The weights at a fraction of the plateau step; `digest` is of the weights."""

    fraction: float
    step: int
    path: str
    digest: Digest = ""


class ManifestDraft(Frozen):
    """What the maker of an artifact knows; freezing adds digests, files and seal."""

    kind: Kind
    name: str
    base: BaseIdentity | None = None
    parents: tuple[Parent, ...] = ()
    spec: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, DataEntry] = Field(default_factory=dict)
    seed: int | None = None
    curve: tuple[CurvePoint, ...] = ()
    saturation: dict[str, Any] = Field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    norms: dict[str, float] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)
    times: dict[str, Any] = Field(default_factory=dict)


class Manifest(ManifestDraft):
    """A draft with its digests: the content of `manifest.json`.

    Example: `read_manifest(artifact.path).base.digest`
    """

    schema_version: Literal["additive.manifest/2"] = Field(default=SCHEMA, alias="schema")
    digest: Digest
    weights: Digest
    config: Digest
    tokenizer: Digest | None = None
    template: Digest | None = None
    files: dict[str, FileEntry]
    seal: Digest

    def fields(self) -> dict[str, Any]:
        """The manifest as JSON values, as `manifest.json` holds it."""
        return self.model_dump(mode="json", by_alias=True)

    def text(self) -> str:
        """The exact text of `manifest.json`."""
        return render_json(self.fields())


def complete(
    draft: ManifestDraft, digests: Mapping[str, Digest | None], files: Mapping[str, FileEntry]
) -> Manifest:
    """Add the content digests and the files to a draft, then name and seal it.

    Raises: IntegrityError when the draft holds a number that is not finite.
    """
    fields = draft.model_dump(mode="json") | dict(digests)
    fields |= {
        "schema": SCHEMA,
        "files": {path: entry.model_dump() for path, entry in files.items()},
    }
    try:
        fields["digest"] = identity(fields)
        return Manifest.model_validate(fields | {"seal": seal_of(fields)})
    except ValueError as error:
        raise IntegrityError(f"manifest cannot be written: {error}", where=draft.name) from error


def read_manifest(directory: Path) -> Manifest:
    """Read an artifact's manifest and check seal and identity (for files, see `verify_directory`).

    Raises: IntegrityError when it is missing or damaged; FormatError when an older additive froze
    it.
    """
    path = directory / MANIFEST
    fields = read_fields(path)
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(
            f"{place or 'manifest'} is not valid: {first['msg']}", where=str(path)
        ) from None


_NEAR = 0.125


@dataclass(frozen=True)
class Artifact:
    """A frozen directory: `path` is what transformers or peft load."""

    name: str
    digest: Digest
    path: Path

    @property
    def reference(self) -> str:
        """`name@digest` with eight digits, as people see it."""
        return f"{self.name}@{short(self.digest)}"

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, read and checked at first use.

        Raises: IntegrityError when it was changed.
        """
        return read_manifest(self.path)

    def snapshot_path(self, fraction: float | None = None) -> Path:
        """The snapshot nearest to a fraction of the plateau step; the artifact for None and 1.

        Raises: UnknownName when no snapshot is within 0.125 of it.
        """
        paths = {1.0: self.path}
        paths |= {s.fraction: self.path / s.path for s in self.manifest.snapshots}
        wanted = 1.0 if fraction is None else fraction
        nearest = min(sorted(paths), key=lambda known: abs(known - wanted))
        if abs(nearest - wanted) > _NEAR:
            known = [f"{value:g}" for value in paths]
            raise UnknownName(f"snapshot of {self.reference}", f"{wanted:g}", known)
        return paths[nearest]


def identify_base(
    directory: Path, id: str, revision: str | None = None, cache: Path | None = None
) -> BaseIdentity:
    """The identity of a base in a directory; with a cache directory its weights are hashed once.

    Raises: IntegrityError, SecurityError for a directory that is not whole and clean.

    Example: `identify_base(Path("llama"), "meta-llama/Llama-3.2-1B", "4e20de3", workspace.cache)`
    """
    found = directory_digests(directory, cache)
    digest = base_digest(found.weights, found.config, found.tokenizer, found.template)
    return BaseIdentity(
        id=id,
        revision=revision,
        weights=found.weights,
        config=found.config,
        tokenizer=found.tokenizer,
        template=found.template,
        digest=digest,
    )
