"""Which tensors a mergekit file makes, and from which tensors of which models.

Names come from the base's headers: the first number between dots is a layer, the text before it the
stack that it belongs to. What lies outside of layers comes first in mergekit's reading, unless
mergekit knows the architecture and calls it a post-weight; that decides whose slice it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from additive.deltas.base import Base
from additive.errors import SpecError
from additive.merge.mergekit.settings import Scopes
from additive.spec.mergekit import KitSliceSpec, MergekitSpec
from additive.spec.yaml import Located

_LAYER = re.compile(r"(?<=\.)(\d+)(?=\.)")


@dataclass(frozen=True)
class KitTensor:
    """One tensor of the output.

    inputs  model → the tensor of that model which goes in, in the file's order
    base    the model that the method takes as its base, None when the file names none
    place   of its layer in the slice: 0 the first, 1 the last; 0 outside of layers
    """

    name: str
    inputs: Mapping[str, str]
    base: str | None
    scopes: Scopes
    place: float


@dataclass(frozen=True)
class _Piece:
    """An output slice: models with the first layer of each, and how many layers."""

    models: tuple[tuple[str, int], ...]
    layers: int
    base: str | None
    scopes: Scopes


def kit_tensors(
    spec: MergekitSpec, file: Located, names: Sequence[str], base: Base
) -> tuple[KitTensor, ...]:
    """Every output tensor in the order of the base's, layers in the order of the output's.

    names  the base's parameters, aliases left out but for those that are split

    Raises: SpecError for ranges that the base does not have.
    """
    if spec.models is not None:
        return tuple(_whole(spec, file, names))
    return tuple(_sliced(spec, file, names, base))


def layer_of(name: str) -> tuple[str, int] | None:
    """Stack and number of a tensor's layer; None outside of layers.

    >>> layer_of("model.layers.12.mlp.up_proj.weight")
    ('model.layers.', 12)
    """
    found = _LAYER.search(name)
    return (name[: found.start()], int(found[1])) if found else None


def layer_counts(names: Iterable[str]) -> dict[str, int]:
    """The number of layers of every stack."""
    counts: dict[str, int] = {}
    for found in filter(None, map(layer_of, names)):
        counts[found[0]] = max(counts.get(found[0], 0), found[1] + 1)
    return counts


def _whole(spec: MergekitSpec, file: Located, names: Sequence[str]) -> Iterator[KitTensor]:
    counts = layer_counts(names)
    piece = _models(spec, file)
    for name in names:
        layer = layer_of(name)
        place = 0.0 if layer is None else _place(layer[1], counts[layer[0]])
        inputs = dict.fromkeys((model for model, _ in piece.models), name)
        yield KitTensor(name, inputs, piece.base, piece.scopes, place)


def _models(spec: MergekitSpec, file: Located) -> _Piece:
    """The models as one slice; mergekit adds a base that is not among them at the end."""
    said = [model.model for model in spec.models or ()]
    if spec.base_model is not None and spec.base_model not in said:
        said.append(spec.base_model)
    own = {model.model: model.parameters for model in spec.models or ()}
    models = tuple((model, 0) for model in said)
    return _Piece(models, 0, spec.base_model, Scopes(file, own, (spec.parameters,)))


def _sliced(
    spec: MergekitSpec, file: Located, names: Sequence[str], base: Base
) -> Iterator[KitTensor]:
    counts = layer_counts(names)
    if len(counts) != 1:
        raise file.error(f"slices need one stack of layers; the base has {len(counts)}", "slices")
    stack, count = next(iter(counts.items()))
    pieces = [_piece(spec, file, piece) for piece in spec.slices or ()]
    _check_ranges(pieces, file, count)
    after = _post_weights(base)
    _check_alike(names, file, stack)
    first = [n for n in names if layer_of(n) is not None and layer_of(n) == (stack, 0)]
    inside = [name[len(f"{stack}0") :] for name in first]
    last_layer = max(i for i, name in enumerate(names) if layer_of(name) is not None)
    outside = [(i, name) for i, name in enumerate(names) if layer_of(name) is None]
    _check_ends(pieces, file, [name for _, name in outside if name in after])
    for _, name in [pair for pair in outside if pair[0] < last_layer]:
        yield _loose(name, pieces[-1 if name in after else 0])
    yield from _layers(pieces, stack, inside)
    for _, name in [pair for pair in outside if pair[0] > last_layer]:
        yield _loose(name, pieces[-1 if name in after else 0])


def _piece(spec: MergekitSpec, file: Located, piece: KitSliceSpec) -> _Piece:
    own = {source.model: source.parameters for source in piece.sources}
    start, stop = piece.sources[0].layer_range
    return _Piece(
        tuple((source.model, source.layer_range[0]) for source in piece.sources),
        stop - start,
        piece.base_model or spec.base_model,
        Scopes(file, own, (piece.parameters, spec.parameters)),
    )


def _check_ranges(pieces: Sequence[_Piece], file: Located, count: int) -> None:
    faults = [
        file.fault(
            f"layer_range ends at {start + piece.layers}; the base has {count} layers",
            *("slices", i, "sources", j, "layer_range"),
        )
        for i, piece in enumerate(pieces)
        for j, (_, start) in enumerate(piece.models)
        if start + piece.layers > count
    ]
    if faults:
        raise SpecError(faults)


def _check_alike(names: Sequence[str], file: Located, stack: str) -> None:
    """Slices move layers, so that every layer must have the same tensors."""
    kinds: dict[int, set[str]] = {}
    for name in names:
        found = layer_of(name)
        if found is not None:
            kinds.setdefault(found[1], set()).add(name[len(f"{stack}{found[1]}") :])
    odd = next((layer for layer, kind in sorted(kinds.items()) if kind != kinds[0]), None)
    if odd is not None:
        raise file.error(
            f"slices move layers when layer {odd} of the base has other tensors than layer 0",
            "slices",
        )


def _check_ends(pieces: Sequence[_Piece], file: Located, after: Sequence[str]) -> None:
    """Of the last slice's models mergekit gives the last norm and the head only as many as the
    first slice has, and says nothing: nobody can have meant that.
    """
    first, last = len(pieces[0].models), len(pieces[-1].models)
    if after and last > first:
        raise file.error(
            f"sources of the last slice are {last}; the first slice has {first}: mergekit would"
            f" leave the others out of {after[0]}",
            *("slices", len(pieces) - 1, "sources"),
            help="give the first slice as many sources, with weight 0 where one should not count",
        )


def _layers(pieces: Sequence[_Piece], stack: str, inside: Sequence[str]) -> Iterator[KitTensor]:
    number = 0
    for piece in pieces:
        for offset in range(piece.layers):
            place = _place(offset, piece.layers)
            for rest in inside:
                inputs = {model: f"{stack}{start + offset}{rest}" for model, start in piece.models}
                yield KitTensor(f"{stack}{number}{rest}", inputs, piece.base, piece.scopes, place)
            number += 1


def _loose(name: str, piece: _Piece) -> KitTensor:
    inputs = {model: name for model, _ in piece.models}
    return KitTensor(name, inputs, piece.base, piece.scopes, 0.0)


def _place(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 1.0


def _post_weights(base: Base) -> frozenset[str]:
    """What mergekit's tables call post-weights of this architecture; nothing when they lack it."""
    from mergekit.architecture.json_definitions import NAME_TO_ARCH, JsonModuleArchitecture

    found = [
        module.architecture.definition.post_weights
        for name in base.config.get("architectures") or ()
        for architecture in NAME_TO_ARCH.get(name, ())
        for module in architecture.modules.values()
        if isinstance(module.architecture, JsonModuleArchitecture)
    ]
    return frozenset(n for weights in found for w in weights for n in (w.name, *(w.aliases or ())))
