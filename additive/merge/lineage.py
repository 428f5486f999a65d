"""Whether a source belongs to the base: by digest where it was frozen, by its files where it was
not; and whether the base may be merged into at all.
"""

from __future__ import annotations

from pathlib import Path

from additive.artifacts.identity import BaseIdentity, template_digest
from additive.artifacts.manifest import read_manifest
from additive.artifacts.vocabulary import vocabulary
from additive.deltas.base import Base, open_base
from additive.errors import CompatibilityError
from additive.merge.recipe import SourceSpec
from additive.models.safety import check_configs
from additive.types.digests import Digest, digest_json, short


def open_plain_base(directory: Path) -> Base:
    """Open a base that names no code to run: what its output takes over is its configuration.

    Raises: SecurityError; as `open_base`.
    """
    check_configs(directory)
    return open_base(directory)


def check_lineage(spec: SourceSpec, base_directory: Path, base: BaseIdentity | None) -> None:
    """Refuse a source that was trained on another base, vocabulary or chat template.

    Raises: CompatibilityError with both digests and the mend.
    """
    home = _frozen_home(spec.directory)
    if home is not None and base is not None:
        trained_on = read_manifest(home).base
        if trained_on is not None:
            _compare(spec, "base weights", trained_on.weights, base.weights, trained_on.id, base.id)
            _compare(
                spec, "tokenizer", trained_on.tokenizer, base.tokenizer, trained_on.id, base.id
            )
            _compare(
                spec, "chat template", trained_on.template, base.template, trained_on.id, base.id
            )
            return
    _compare_files(spec, base_directory)


def check_tokens(base: Base) -> None:
    """Refuse a base that shall lose rows of tokens that its tokenizer has.

    Raises: CompatibilityError.
    """
    ids = (vocabulary(base.directory) or {}).values() if base.resized else ()
    if base.rows is not None and base.rows <= max(ids, default=-1):
        raise CompatibilityError(
            f"tokenizer has a token {max(ids)} when trim would leave {base.rows} rows",
            where=str(base.directory),
            help="--vocabulary extend keeps the rows of all",
        )


def _frozen_home(directory: Path) -> Path | None:
    """The artifact that a directory is, or of which it is a snapshot."""
    candidates = [directory]
    if directory.parent.name == "snapshots":
        candidates.append(directory.parent.parent)
    return next((path for path in candidates if (path / "manifest.json").exists()), None)


def _compare_files(spec: SourceSpec, base_directory: Path) -> None:
    """Without a manifest nothing is claimed; a vocabulary or template that lies there must be the
    base's.

    Of the tokenizer only the vocabulary counts: trainers set padding tokens and sides as they
    please.
    """
    where, base_where = str(spec.directory), str(base_directory)
    for what, digest_of in (("vocabulary", vocabulary_digest), ("chat template", template_digest)):
        own, base = digest_of(spec.directory), digest_of(base_directory)
        if own is not None and (base is not None or what == "chat template"):
            _compare(spec, what, own, base, where, base_where)


def vocabulary_digest(directory: Path) -> Digest | None:
    """The digest of a fast tokenizer's tokens with their ids; None where there is no
    tokenizer.json.

    Raises: IntegrityError when the file is broken.
    """
    found = vocabulary(directory)
    return None if found is None else digest_json(found)


def _compare(
    spec: SourceSpec, what: str, own: Digest | None, base: Digest | None, own_id: str, base_id: str
) -> None:
    if own == base:
        return
    raise CompatibilityError(
        f"{what} is {_name(own)} ({own_id}) when the base has {_name(base)} ({base_id})",
        where=str(spec),
        help=f"merge into the base it was trained on, or train again: additive train {spec.name}",
    )


def _name(digest: Digest | None) -> str:
    return short(digest) if digest else "none"
