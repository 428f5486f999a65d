"""Whether what a folder holds fits the base: kind, names, shapes, numbers, size, words.

Every refusal of `additive.deltas` is one here, before a byte is written. On top of it: pickles and
code, NaN, the chat template, the vocabulary, and ‖ΔW‖/‖W‖. Fine-tunes lie between 0.001 and 0.1; a
delta larger than the weights it changes, or a millionth of them, is a wrong scale or a wrong base.

The configuration of a full checkpoint: a specialist is loaded by it, so it has to describe the
base's model.

Its weights have the base's names and shapes already; a config.json that says other counts or widths
would have a loader build something else, or far too much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from additive.adopt.folder import Folder
from additive.adopt.tokenizer_match import refuse_other_words
from additive.deltas.base import Base, open_base
from additive.deltas.initial import plain_size
from additive.deltas.model import matrix_shape, tiles
from additive.deltas.open import AdapterSource, open_deltas
from additive.deltas.source import DeltaSource, delta_norms
from additive.deltas.vocabulary import source_rows, with_vocabulary
from additive.errors import CompatibilityError, IntegrityError
from additive.models.config import check_model_directory, check_weight_files
from additive.tensors.json import read_object
from additive.types.digests import digest_json

_COUNTED = re.compile(
    r"model_type|n_layers?|n_heads?|n_embd|d_model|num_\w*(layers|heads|experts)"
    r"|(\w+_)?(hidden_size|intermediate_size|state_size|head_dim)"
)


_DTYPES = {None, "auto", "float32", "bfloat16", "float16"}


_DTYPES |= {f"torch.{name}" for name in ("float32", "bfloat16", "float16")}


def refuse_other_shape(directory: Path, base_directory: Path) -> None:
    """Compare model type, counts and widths with the base's where both say them.

    Raises: CompatibilityError for a difference, or a dtype that no checkpoint of ours has.
    """
    path = directory / "config.json"
    own, base = read_object(path), read_object(base_directory / "config.json")
    for key, mine, theirs in _both(own, base, ""):
        if mine != theirs:
            raise CompatibilityError(
                f"{key} is {_quote(mine)}; the base has {_quote(theirs)}",
                where=str(path),
                help="put the config.json that these weights were saved with beside them",
            )
    for key in ("dtype", "torch_dtype"):
        if isinstance(own.get(key), Mapping | list) or own.get(key) not in _DTYPES:
            raise CompatibilityError(
                f"{key} is {_quote(own[key])}; expected float32, bfloat16 or float16",
                where=str(path),
                help="write the dtype of the weights into it",
            )


def _both(
    own: Mapping[str, Any], base: Mapping[str, Any], above: str
) -> Iterator[tuple[str, Any, Any]]:
    """What both configurations say of the model's shape, nested ones included."""
    for key in sorted(own.keys() & base.keys()):
        mine, theirs = own[key], base[key]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            yield from _both(mine, theirs, f"{above}{key}.")
        elif _COUNTED.fullmatch(key) and None not in (mine, theirs):  # null leaves it to others
            yield f"{above}{key}", mine, theirs


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


PLAUSIBLE = (1e-6, 1.0)


_SAMPLED_TILES = 4


@dataclass(frozen=True)
class Audit:
    """What was found.

    adapt       kind, and rank, alpha and scaling of an adapter, as a manifest records it
    modules     last names of the trained modules; `parameters` how many tensors were trained
    norms       ‖ΔW‖ by parameter; `ratio` is √Σ‖ΔW‖² / √Σ‖W‖² over the trained ones
    accepted    differences from the base that the user accepted, in words
    """

    adapt: dict[str, Any]
    modules: tuple[str, ...]
    parameters: int
    layers: int
    nbytes: int
    norms: dict[str, float]
    ratio: float
    accepted: tuple[str, ...]


def audit(folder: Folder, base_directory: Path, name: str, accept: Collection[str] = ()) -> Audit:
    """Check a recognised folder against a base, all of its bytes read once.

    accept  of `template`, `vocabulary`, `norm`: differences that are noted instead of refused

    Raises: SecurityError, CompatibilityError, IntegrityError, each with what mends it.
    """
    _check_files(folder, base_directory)
    base, padded = open_base(base_directory), ()
    if "vocabulary" in accept:
        base = with_vocabulary(base, "extend", [folder.directory])
        rows = source_rows(folder.directory, base) - {base.vocabulary_rows()}
        padded = tuple(
            f"embedding has {count} rows; the base has {base.vocabulary_rows()}:"
            " merge it with --vocabulary trim or extend"
            for count in sorted(rows)
        )
    source = open_deltas(folder.directory, base, name, digest_json(name))
    try:
        accepted = refuse_other_words(folder.directory, base_directory, accept) + padded
        _refuse_non_finite(source, folder.directory)
        norms = delta_norms(source)
        ratio = _ratio(norms, base)
        accepted += _check_ratio(folder.directory, ratio, norms, accept)
        return Audit(
            adapt=_adapt(source),
            modules=_modules(norms),
            parameters=len(norms),
            layers=len({found[0] for name in norms if (found := re.findall(r"\.(\d+)\.", name))}),
            nbytes=source.nbytes(),
            norms=norms,
            ratio=ratio,
            accepted=accepted,
        )
    finally:
        source.close()
        base.close()


def _check_files(folder: Folder, base_directory: Path) -> None:
    if folder.kind == "model":
        check_model_directory(folder.directory)
        refuse_other_shape(folder.directory, base_directory)
    else:
        check_weight_files(folder.directory, "adapter_model")


def _refuse_non_finite(source: DeltaSource, directory: Path) -> None:
    broken = source.non_finite()
    if broken:
        first, *others = broken
        more = f" (and {len(others)} more)" if others else ""
        raise IntegrityError(
            f"tensor {first}{more} holds NaN or infinity",
            where=str(directory),
            help="its training diverged: adopt an earlier checkpoint-* folder",
        )


def _ratio(norms: dict[str, float], base: Base) -> float:
    delta = math.sqrt(math.fsum(norm * norm for norm in norms.values()))
    weights = math.sqrt(math.fsum(_square(base.tensor(name)) for name in norms))
    return delta / weights if weights else math.inf


def _square(tensor: torch.Tensor) -> float:
    """‖W‖² estimated from a few evenly spaced tiles, so that no base is read as a whole for it."""
    shape = tuple(tensor.shape)
    matrix, rows = tensor.reshape(matrix_shape(shape)), matrix_shape(shape)[0]
    spans = list(tiles(shape))
    chosen = spans[:: max(1, len(spans) // _SAMPLED_TILES)]
    seen = sum(stop - start for start, stop in chosen)
    found = math.fsum(matrix[a:b].float().square().sum().item() for a, b in chosen)
    return found * rows / max(seen, 1)


def _check_ratio(
    directory: Path, ratio: float, norms: dict[str, float], accept: Collection[str]
) -> tuple[str, ...]:
    if not any(norms.values()):
        raise IntegrityError(
            "delta is zero in every parameter: nothing was trained",
            where=str(directory),
            help="adopt the folder that training wrote at its end, not the one it began with",
        )
    low, high = PLAUSIBLE
    if low <= ratio <= high:
        return ()
    largest = max(norms, key=norms.__getitem__)
    said = f"delta is {ratio:.3g} times as large as the weights it changes"
    if "norm" in accept:
        return (said,)
    raise IntegrityError(
        f"{said}; {low:g} to {high:g} is plausible (the largest is {largest})",
        where=str(directory),
        help="its alpha, its rank or its base is likely another one; --accept norm takes it anyway",
    )


def _adapt(source: DeltaSource) -> dict[str, Any]:
    if not isinstance(source, AdapterSource):
        return {"kind": "full"}
    config = source.config
    if config.kind == "ia3":
        return {"kind": "ia3"}
    rank, alpha = plain_size(config)
    said: dict[str, Any] = {"kind": "lora", "rank": rank, "alpha": alpha}
    flags = {"rslora": config.rslora, "dora": config.dora}
    start = {"init": config.initial.parent.name.removesuffix("_init")} if config.initial else {}
    return said | {flag: True for flag, on in flags.items() if on} | start


def _modules(norms: dict[str, float]) -> tuple[str, ...]:
    names = (re.sub(r"\.(weight|bias)$", "", name).rpartition(".")[2] for name in norms)
    return tuple(dict.fromkeys(names))
