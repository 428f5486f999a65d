"""Reading tensors where they lie: mapped, never copied, whatever the number of shards."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from additive.errors import IntegrityError, UnknownName, UsageError
from additive.tensors.dtypes import ITEM_BYTES, torch_dtype
from additive.tensors.header import Header, TensorInfo, read_header
from additive.tensors.index import check_index, find_shards

if TYPE_CHECKING:
    import torch

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
            raise UsageError(f"rows of {name!r} are {start}:{stop} when its shape is {list(shape)}")
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
