"""From opened sources to the stacks of a merge.

Which layer a parameter belongs to, from its name alone.

Whether a source belongs to the base: by digest where it was frozen, by its files where it was
not; and whether the base may be merged into at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from additive.artifacts.content import template_digest, vocabulary
from additive.artifacts.manifest import BaseIdentity, read_manifest
from additive.deltas.base import Base, open_base
from additive.deltas.device import check_device, move_delta
from additive.deltas.model import LowRank
from additive.deltas.names import is_matrix
from additive.deltas.open import open_deltas
from additive.deltas.source import DeltaSource
from additive.deltas.vocabulary import with_vocabulary
from additive.errors import CompatibilityError, UsageError
from additive.merge.method import DeltaStack, Draws, MergeMethod
from additive.merge.recipe import BuiltRecipe, SourceSpec
from additive.models.config import check_configs
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest, digest_json, short

_NUMBERED = re.compile(r"(?P<stem>.*?)\.(?P<index>\d+)\.")


def layers_of(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """(index, number of layers) of every parameter that lies in a numbered layer.

    The first number in the name counts, per stem: towers of one model are counted apart.

    >>> layers_of(["embed.weight", "model.layers.0.up.weight", "model.layers.1.up.weight"])
    {'model.layers.0.up.weight': (0, 2), 'model.layers.1.up.weight': (1, 2)}
    """
    found = {name: match for name in names if (match := _NUMBERED.match(name))}
    counts: dict[str, int] = {}
    for match in found.values():
        counts[match["stem"]] = max(counts.get(match["stem"], 0), int(match["index"]) + 1)
    return {name: (int(m["index"]), counts[m["stem"]]) for name, m in found.items()}


@dataclass(frozen=True, eq=False)
class Sources:
    """A base with its sources in summing order, and whether its tied pair has to be split.

    weights  by source
    owned    by source: the base's name of each trained parameter → the name to ask the source for
    untied_heads   the aliases that become parameters of their own in the output
    grams    by source its file of Grams; empty where no method needs any
    device   where parameters are merged
    layers   (index, number of layers) of the parameters that lie in one
    """

    base: Base
    sources: tuple[DeltaSource, ...]
    weights: tuple[float, ...]
    owned: tuple[Mapping[str, str], ...]
    untied_heads: tuple[str, ...]
    layers: Mapping[str, tuple[int, int]]
    grams: tuple[Checkpoint, ...] = ()
    device: str = "cpu"

    def parameters(self) -> tuple[str, ...]:
        """Every parameter that some source trained, in the base's order."""
        return tuple(n for n in self.base.names() if any(n in owned for owned in self.owned))

    def touching(self, name: str) -> tuple[int, ...]:
        """The positions of the sources that trained a parameter."""
        return tuple(i for i, owned in enumerate(self.owned) if name in owned)

    def ranks(self, name: str) -> tuple[int | None, ...]:
        """The rank of every touching source's factors, None for a delta without; from headers."""
        return tuple(self.sources[i].rank(self.owned[i][name]) for i in self.touching(name))

    def stack(self, name: str, seed: int) -> DeltaStack:
        """The stack of one parameter; factors are read, everything else stays mapped. On another
        device than the processor all of it is there.
        """
        positions, base = self.touching(name), self.base.tensor(name).to(self.device)
        deltas = (self.sources[i].delta(self.owned[i][name]) for i in positions)
        return DeltaStack(
            name=name,
            base=base,
            deltas=tuple(move_delta(delta, base) for delta in deltas),
            sources=tuple(self.sources[i].digest for i in positions),
            weights=tuple(self.weights[i] for i in positions),
            rng=Draws(seed, name),
            count=len(self.sources),
            total=sum(self.weights),
            layer=self.layers.get(name),
            grams=self._grams(name),
            inputs="rows" if self.orientation(name) in ("conv1d", "embedding") else "columns",
        )

    def fits(self, name: str) -> bool:
        """Whether it is a matrix, or fused experts of each of which every source has factors."""
        targets = [self.sources[i].target(self.owned[i][name]) for i in self.touching(name)]
        fused = all(
            target and target.parameter and target.parameter.experts > 1 for target in targets
        )
        return is_matrix(name, self.base.shape(name)) or fused

    def orientation(self, name: str) -> str | None:
        """How a parameter lies in its module, as PEFT sees it; None where no source has factors."""
        targets = (self.sources[i].target(self.owned[i][name]) for i in self.touching(name))
        return next((target.orientation for target in targets if target is not None), None)

    def _grams(self, name: str) -> tuple[Tensor, ...]:
        touching = [self.grams[i] for i in self.touching(name)] if self.grams else []
        return tuple(grams.tensor(name).to(self.device) for grams in touching if name in grams)

    def close(self) -> None:
        """Let go of all files."""
        for source in (*self.sources, *self.grams):
            source.close()
        self.base.close()


def gather(
    base: Base,
    sources: Sequence[DeltaSource],
    weights: Sequence[float],
    grams: Mapping[Digest, Path] | None = None,
    device: str = "cpu",
) -> Sources:
    """Put sources in the order of their digests; see whether a tied pair must be split."""
    pairs = sorted(zip(sources, weights, strict=True), key=lambda pair: pair[0].digest)
    ordered = tuple(source for source, _ in pairs)
    shared = [
        {alias: source.shares(alias, stored) for alias, stored in base.aliases.items()}
        for source in ordered
    ]
    untied_heads = tuple(alias for alias in base.aliases if not all(by[alias] for by in shared))
    owned = tuple(
        _owned(base, source, by, untied_heads) for source, by in zip(ordered, shared, strict=True)
    )
    weighted = tuple(float(weight) for _, weight in pairs)
    files = tuple(open_file(grams[source.digest]) for source in ordered) if grams else ()
    layers = layers_of(base.names())
    return Sources(base, ordered, weighted, owned, untied_heads, layers, files, device)


def _owned(
    base: Base, source: DeltaSource, shared: Mapping[str, bool], untied_heads: tuple[str, ...]
) -> dict[str, str]:
    """In a pair that others split, a source that is still tied gives its embedding's delta to the
    head.
    """
    owned = {name: name for name in source.parameters()}
    for alias, stored in base.aliases.items():
        if alias not in untied_heads:
            owned.pop(alias, None)
        elif shared[alias] and stored in owned:
            owned[alias] = stored
    return owned


def check_inputs(name: str, method: MergeMethod, opened: Sources) -> None:
    """Refuse a method that weighs inputs on a parameter whose inputs nobody can see, and one that
    knows the processor alone on another device.

    Raises: CompatibilityError with the rule that mends it; UsageError.
    """
    if opened.device != "cpu" and method.cpu_only:
        raise UsageError(
            f"--device is {opened.device}; {type(method).__name__} computes on the CPU",
            help="leave --device out",
        )
    if method.needs_grams and opened.orientation(name) == "parameter":
        raise CompatibilityError(
            f"{name} is read by no module of its own, so that nobody sees its inputs, which"
            f" {type(method).__name__} weighs",
            help=f"give it another method: --rule '{name}=linear'",
        )


def input_directions(sources: Sources) -> dict[str, tuple[str, Tensor]]:
    """By parameter the module that reads it, and all sources' factors on the side of its inputs.

    The factors (A; Bᵀ where inputs are rows, as in Conv1D and embeddings) are stacked in the order
    of the sources. Parameters that no module of their own reads (`target_parameters`) have none; a
    plan refuses methods that would need them.
    """
    directions = {}
    for name in sources.parameters():
        first = sources.touching(name)[0]
        target = sources.sources[first].target(name)
        stack = sources.stack(name, 0)
        low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
        if target is None or target.orientation == "parameter" or len(low) < len(stack.deltas):
            continue
        factors = [delta.B.T if stack.inputs == "rows" else delta.A for delta in low]
        directions[name] = (target.module, torch.cat(factors))
    return directions


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
        f"{what} is {_name(own)} ({own_id}); the base has {_name(base)} ({base_id})",
        where=str(spec),
        help=f"merge into the base it was trained on, or train again: additive train {spec.name}",
    )


def _name(digest: Digest | None) -> str:
    return short(digest) if digest else "none"


@contextmanager
def opened_sources(
    recipe: BuiltRecipe, base_directory: Path, sources: Sources | None = None
) -> Iterator[Sources]:
    """A recipe's sources for a block: those that are open already, and stay so, or newly opened."""
    if sources is not None:
        yield sources
        return
    own = open_sources(recipe, open_base(base_directory))
    try:
        yield own
    finally:
        own.close()


def open_sources(recipe: BuiltRecipe, base: Base) -> Sources:
    """Open a recipe's sources against a base, in summing order.

    Raises: CompatibilityError, IntegrityError, SecurityError (see `open_deltas`); ResourceError.
    """
    check_device(recipe.settings.device)
    specs = recipe.ordered()
    base = with_vocabulary(base, recipe.settings.vocabulary, [spec.directory for spec in specs])
    sources = [open_deltas(s.directory, base, s.name, s.digest) for s in specs]
    grams = {spec.digest: spec.grams for spec in specs if spec.grams and spec.grams.exists()}
    whole = grams if len(grams) == len(specs) else None
    return gather(base, sources, [spec.weight for spec in specs], whole, recipe.settings.device)
