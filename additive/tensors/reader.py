"""Reading tensors where they lie: mapped, never copied, whatever the number of shards.

Which files hold a checkpoint: one file, or shards named by an index.

`model.safetensors`, or shards and a `model.safetensors.index.json`:

    {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}

Finding NaN and infinity in a checkpoint from the bit patterns, in blocks, without torch.

A float is not finite when all its exponent bits are set; that holds for F16, BF16, F32 and F64. Of
the 8-bit types E5M2 has the same rule and E4M3 has NaN only where every bit but the sign is set.

The sha256 of every tensor of a checkpoint: the leaves of its weights digest.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from additive.errors import IntegrityError, SecurityError, UnknownName, UsageError
from additive.tensors.header import ITEM_BYTES, Header, TensorInfo, read_header, torch_dtype
from additive.tensors.json import parse_json, read_bytes
from additive.types.digests import TensorLeaf, digest_bytes

if TYPE_CHECKING:
    import torch


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


_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)


class Checkpoint:
    """All tensors of a checkpoint, by name, over one or several safetensors files.

    Tensors are private mappings of the files: they cost no memory until read, and writing into one
    changes neither the file nor what others read from it on disk. Names come shard by shard in file
    order.

    Example:
        with open_checkpoint(Path("base")) as base:
            base.tensor("model.norm.weight").float()
    """

    def __init__(self, directory: Path, headers: Mapping[str, Header]) -> None:
        self.directory = directory
        self.headers = dict(headers)
        self.shards = tuple(headers)
        self._places = _places(self.headers, directory)
        self._maps: dict[str, mmap.mmap] = {}
        self._lock = Lock()

    def names(self) -> tuple[str, ...]:
        """Every tensor's name, in shard order and file order."""
        return tuple(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def info(self, name: str) -> TensorInfo:
        """What the header says of a tensor.

        Raises: UnknownName.
        """
        return self.headers[self.shard_of(name)].tensors[name]

    def shard_of(self, name: str) -> str:
        """The file name that holds a tensor.

        Raises: UnknownName.
        """
        try:
            return self._places[name]
        except KeyError:
            raise UnknownName(
                "tensor",
                name,
                self._places,
                where=str(self.directory),
                help=f"{len(self._places)} tensors are there",
            ) from None

    def bytes(self, name: str) -> memoryview:
        """The tensor's bytes in the file, read-only and not copied."""
        return self._view(name).toreadonly()

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor in its own dtype and shape, mapped; copied only where misaligned."""
        import torch

        info, dtype = self.info(name), torch_dtype(self.info(name).dtype)
        if info.nbytes == 0:
            return torch.empty(info.shape, dtype=dtype)
        header = self.headers[self.shard_of(name)]
        aligned = (header.data_start + info.start) % ITEM_BYTES[info.dtype] == 0
        buffer = self._view(name) if aligned else bytearray(self._view(name))
        return torch.frombuffer(buffer, dtype=dtype).reshape(info.shape)

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows from start to before stop of the first dimension, mapped; shape (stop - start, ...).

        Raises: UsageError for a scalar or for rows that are not there.
        """
        shape = self.info(name).shape
        if not shape or not 0 <= start <= stop <= shape[0]:
            raise UsageError(f"rows of {name!r} are {start}:{stop}; its shape is {list(shape)}")
        return self.tensor(name)[start:stop]

    def close(self) -> None:
        """Let go of the files; mappings live on while a tensor made from them does."""
        with self._lock:
            self._maps.clear()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _view(self, name: str) -> memoryview:
        info, shard = self.info(name), self.shard_of(name)
        start = self.headers[shard].data_start + info.start
        return memoryview(self._map(shard))[start : start + info.nbytes]

    def _map(self, shard: str) -> mmap.mmap:
        with self._lock:
            if shard not in self._maps:
                self._maps[shard] = _map_file(
                    self.directory / shard, self.headers[shard].file_bytes
                )
            return self._maps[shard]


def open_checkpoint(directory: Path, stem: str = "model") -> Checkpoint:
    """Open `<stem>.safetensors` or the shards of its index, after checking every header.

    Raises: IntegrityError, SecurityError (see `read_header` and `find_shards`).
    """
    if not directory.is_dir():
        raise IntegrityError("directory is missing", where=str(directory))
    shards, weight_map = find_shards(directory, stem)
    headers = {shard: read_header(directory / shard) for shard in shards}
    if weight_map is not None:
        check_index(weight_map, headers, str(directory))
    return Checkpoint(directory, headers)


def open_file(path: Path) -> Checkpoint:
    """Open one safetensors file as a checkpoint of one shard.

    Raises: IntegrityError, SecurityError (see `read_header`).
    """
    return Checkpoint(path.parent, {path.name: read_header(path)})


def _places(headers: Mapping[str, Header], directory: Path) -> dict[str, str]:
    places: dict[str, str] = {}
    for shard, header in headers.items():
        for name in header.tensors:
            if name in places:
                raise IntegrityError(
                    f"tensor {name!r} is in {places[name]} and in {shard}", where=str(directory)
                )
            places[name] = shard
    return places


def _map_file(path: Path, size: int) -> mmap.mmap:
    # Private and writable: torch warns about read-only buffers and a write through one would be a
    # segmentation fault. No swap is reserved for it, so a checkpoint larger than memory can be
    # mapped.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != size:
            raise IntegrityError("file changed its size while it was open", where=str(path))
        flags = mmap.MAP_PRIVATE | _NO_RESERVE
        return mmap.mmap(descriptor, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        os.close(descriptor)


_BLOCK = 1 << 22


_EXPONENT: dict[str, tuple[str, int]] = {
    "F8_E4M3": ("<u1", 0x7F),
    "F8_E5M2": ("<u1", 0x7C),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F800000),
    "C64": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
}


def non_finite(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The names of the tensors that hold a NaN or an infinity, in the checkpoint's order."""
    return tuple(name for name in checkpoint.names() if not _is_finite(checkpoint, name))


def _is_finite(checkpoint: Checkpoint, name: str) -> bool:
    import numpy

    pattern = _EXPONENT.get(checkpoint.info(name).dtype)
    if pattern is None:
        return True
    kind, mask = pattern
    view = checkpoint.bytes(name)
    for start in range(0, len(view), _BLOCK):
        words = numpy.frombuffer(view[start : start + _BLOCK], dtype=kind)
        if bool(((words & words.dtype.type(mask)) == mask).any()):
            return False
    return True


def leaves_of(
    checkpoint: Checkpoint, names: Sequence[str] | None = None, threads: int | None = None
) -> tuple[TensorLeaf, ...]:
    """One leaf per tensor (all, or the named ones) in the checkpoint's order, hashed in threads.

    Example: `weights_digest(leaves_of(open_checkpoint(directory)))`
    """

    def leaf(name: str) -> TensorLeaf:
        info = checkpoint.info(name)
        return TensorLeaf(name, info.dtype, info.shape, digest_bytes(checkpoint.bytes(name)))

    with ThreadPoolExecutor(threads or min(os.cpu_count() or 1, 8)) as pool:
        return tuple(pool.map(leaf, checkpoint.names() if names is None else names))
