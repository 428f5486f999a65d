"""Writing safetensors: the file is laid out first, then filled in any order by any thread.

The bytes go to `.<name>.part`; the file takes its name only when every byte has been written and is
on disk, so a crash never leaves a file of zeros that looks whole.
"""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from additive.errors import IntegrityError, UnknownName, UsageError
from additive.tensors.disk import disk_errors, reserve, sync_directory, write_all
from additive.tensors.header import ITEM_BYTES, TensorInfo, name_of

if TYPE_CHECKING:
    import torch


Layout = Sequence[tuple[str, str, tuple[int, ...]]]


# So many bytes may wait to be forced to disk while others are computed.
SYNC_BYTES = 1 << 28


def write_file(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to one file: the bytes of `safetensors.torch.save_file`, durable, umask kept.

    Raises: ResourceError when the disk is full or fails, CompatibilityError for a dtype outside the
    format.
    """
    with LayoutWriter(path, layout_of(tensors), metadata) as writer:
        for name in writer.infos:
            writer.write(name, 0, tensors[name])


def layout_of(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """The order in which the library lays tensors out in a file: wide types first, then by name."""
    layout = [(name, name_of(t.dtype), tuple(t.shape)) for name, t in tensors.items()]
    return sorted(layout, key=lambda entry: (-_PRECEDENCE[entry[1]], entry[0]))


class LayoutWriter:
    """A safetensors file with a fixed layout, filled row block by row block.

    `layout` is (name, dtype, shape) in file order. Disk space is taken at once. `close` refuses a
    file with rows that nobody wrote; leaving the context with an error removes the file.

    Raises: ResourceError when the disk is full or fails.

    Example:
        with LayoutWriter(path, [("w", "BF16", (1000, 64))]) as writer:
            writer.write("w", 500, second_half)
            writer.write("w", 0, first_half)
    """

    def __init__(
        self, path: Path, layout: Layout, metadata: Mapping[str, str] | None = None
    ) -> None:
        header, self.infos = _encode_header(layout, metadata or {})
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._data_start = len(header)
        self._covered: dict[str, list[tuple[int, int]]] = {name: [] for name in self.infos}
        self._unsynced = 0
        self._lock = Lock()
        with disk_errors(self._part):
            self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with disk_errors(self._part):
                reserve(
                    self._descriptor, self._data_start + sum(i.nbytes for i in self.infos.values())
                )
                write_all(self._descriptor, header, 0)
        except BaseException:
            self.discard()
            raise

    def write(self, name: str, row_start: int, data: torch.Tensor | bytes | memoryview) -> None:
        """Write rows of a tensor from `row_start` on, from a tensor of its dtype or from raw bytes.

        Raises: UnknownName, UsageError for rows that do not fit or were written before,
        ResourceError.
        """
        info = self._info(name)
        payload = data if isinstance(data, bytes | memoryview) else _payload(info, data)
        self.write_at(name, row_start * info.row_bytes, payload)

    def write_at(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write raw bytes of a tensor from a byte offset on, where rows are no whole ones.

        Raises: as `write`.
        """
        info = self._info(name)
        self._claim(info, offset, offset + memoryview(data).nbytes)
        with disk_errors(self._part):
            write_all(self._descriptor, data, self._data_start + info.start + offset)

    def flush(self, written: int, waiting: int = SYNC_BYTES) -> None:
        """Say that so many more bytes are written; once `waiting` are, force them to disk while
        others go on writing, so that `close` has less to do. For one thread only.

        Raises: ResourceError when the disk fails.
        """
        self._unsynced += written
        if self._unsynced < waiting:
            return
        self._unsynced = 0
        with disk_errors(self._part):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Force the bytes to disk and give the file its name.

        Raises: IntegrityError when rows are missing, ResourceError when the disk fails.
        """
        missing = [
            n for n, i in self.infos.items() if i.nbytes and self._covered[n] != [(0, i.nbytes)]
        ]
        if missing:
            self.discard()
            raise IntegrityError(
                f"rows of tensor {missing[0]!r} were never written", where=str(self.path)
            )
        try:
            with disk_errors(self._part):
                os.fsync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = -1
                self._part.replace(self.path)
                sync_directory(self.path.parent)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> LayoutWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def _info(self, name: str) -> TensorInfo:
        if name not in self.infos:
            raise UnknownName("tensor", name, self.infos, where=str(self.path))
        return self.infos[name]

    def _claim(self, info: TensorInfo, start: int, stop: int) -> None:
        if start < 0 or stop > info.nbytes:
            raise UsageError(
                f"bytes {start}:{stop} are outside tensor {info.name!r} of {info.nbytes} bytes",
                where=str(self.path),
            )
        with self._lock:
            if start < stop and not _insert(self._covered[info.name], start, stop):
                raise UsageError(
                    f"bytes {start}:{stop} of tensor {info.name!r} were written before",
                    where=str(self.path),
                )


def _insert(covered: list[tuple[int, int]], start: int, stop: int) -> bool:
    """Add an interval to sorted disjoint ones, joining neighbours; False when it overlaps one."""
    at = bisect_left(covered, (start, stop))
    before, after = covered[at - 1 : at] if at else [], covered[at : at + 1]
    if (before and before[0][1] > start) or (after and after[0][0] < stop):
        return False
    first, last = at, at
    if before and before[0][1] == start:
        first, start = at - 1, before[0][0]
    if after and after[0][0] == stop:
        last, stop = at + 1, after[0][1]
    covered[first:last] = [(start, stop)]
    return True


def _payload(info: TensorInfo, tensor: torch.Tensor) -> memoryview:
    if name_of(tensor.dtype) != info.dtype:
        raise UsageError(
            f"rows of {info.name!r} are {name_of(tensor.dtype)}; expected {info.dtype}"
        )
    if tuple(tensor.shape[1:]) != info.shape[1:] or tensor.dim() != len(info.shape):
        raise UsageError(
            f"rows of {info.name!r} have shape {list(tensor.shape)}; expected {list(info.shape)}"
        )
    return bytes_of(tensor)


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """A tensor's bytes as a file holds them."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


# The library's own order: wide types first, so that every tensor is aligned; ties by name.
_PRECEDENCE = {name: position for position, name in enumerate(ITEM_BYTES)}


def _encode_header(
    layout: Layout, metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, TensorInfo]]:
    infos: dict[str, TensorInfo] = {}
    position = 0
    for name, dtype, shape in layout:
        if name in infos:
            raise UsageError(f"tensor {name!r} is in the layout twice")
        size = math.prod(shape) * ITEM_BYTES[dtype]
        infos[name] = TensorInfo(name, dtype, tuple(shape), position, position + size)
        position += size
    described: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for info in infos.values():
        described[info.name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [info.start, info.end],
        }
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, infos
