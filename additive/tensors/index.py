"""Which files hold a checkpoint: one file, or shards named by an index.

`model.safetensors`, or shards and a `model.safetensors.index.json`:

    {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from additive.errors import IntegrityError, SecurityError
from additive.tensors.header import Header
from additive.tensors.strict_json import parse_json, read_bytes

MAX_ENTRIES = 300_000
_SHARD = re.compile(r"[A-Za-z0-9_+\-][A-Za-z0-9_.+\-]{0,240}\.safetensors")


def find_shards(directory: Path, stem: str) -> tuple[tuple[str, ...], dict[str, str] | None]:
    """The files of a checkpoint, sorted, and the index's map from tensor to file if there is one.

    Raises: IntegrityError when nothing is there, when single file and index contradict each other,
    or when shards of another layout lie beside the indexed ones; SecurityError when the index
    points out of the directory.
    """
    single, index = directory / f"{stem}.safetensors", directory / f"{stem}.safetensors.index.json"
    if not index.exists():
        if not single.exists():
            shards = sorted(path.name for path in directory.glob(f"{stem}-*-of-*.safetensors"))
            beside = f", but {shards[0]}" if shards else ""
            raise IntegrityError(
                f"no {single.name} and no {index.name} is there{beside}",
                where=str(directory),
                help="the index is missing beside its shards: copy or download the folder again"
                if shards
                else "only safetensors are read; convert pickled weights first",
            )
        shards = [single.name]
        weight_map = None
    else:
        weight_map = _weight_map(index)
        shards = sorted(set(weight_map.values()))
    _refuse_strays(directory, stem, shards)
    return tuple(shards), weight_map


def _weight_map(index: Path) -> dict[str, str]:
    data = read_bytes(index)
    if data.count(b":") > MAX_ENTRIES:  # counted before it is parsed: that would take seconds
        raise IntegrityError(f"index has more than {MAX_ENTRIES} entries", where=str(index))
    whole = parse_json(data, str(index))
    found = whole.get("weight_map") if isinstance(whole, dict) else None
    if not isinstance(found, dict) or not found:
        raise IntegrityError("weight_map is missing or empty", where=str(index))
    for name, shard in found.items():
        if not isinstance(shard, str) or not _SHARD.fullmatch(shard):
            raise SecurityError(
                f"weight_map sends {name[:80]!r} to {str(shard)[:80]!r}, no plain file name",
                where=str(index),
            )
    return found


def _refuse_strays(directory: Path, stem: str, shards: Sequence[str]) -> None:
    part = re.compile(re.escape(stem) + r"(-\d+-of-\d+)?\.safetensors")
    strays = sorted(
        p.name for p in directory.iterdir() if part.fullmatch(p.name) and p.name not in shards
    )
    if strays:
        raise IntegrityError(
            f"{strays[0]} is there but belongs to no tensor of the index",
            where=str(directory),
            help="two layouts are mixed here; delete the files of the old one",
        )


def check_index(weight_map: Mapping[str, str], headers: Mapping[str, Header], where: str) -> None:
    """Refuse an index that does not say exactly what the shards hold.

    Raises: IntegrityError naming the first tensor that is missing, unlisted or listed elsewhere.
    """
    held = {name: shard for shard, header in headers.items() for name in header.tensors}
    for name in sorted(weight_map.keys() | held.keys()):
        listed, found = weight_map.get(name), held.get(name)
        if listed is None or listed != found:
            raise IntegrityError(
                f"tensor {name!r} is in {found or 'no shard'}, the index says {listed or 'none'}",
                where=where,
            )
