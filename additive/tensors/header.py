"""The header of a safetensors file, read strictly and without touching a tensor byte.

A file is 8 bytes N (little-endian), N bytes of JSON, then the tensors' bytes without holes:

    {"__metadata__": {"format": "pt"},
     "model.norm.weight": {"dtype": "BF16", "shape": [32], "data_offsets": [0, 64]}}

The library accepts duplicate keys and names with control characters or `../`; this reader refuses
them. It scans entry by entry, each bounded, so that a hostile header costs neither time nor memory:
the first fault ends the reading.

The dtypes of the safetensors format, with their bytes per element and their torch names.

Types of less than one byte (F4, F6_*) are left out: tensors of those are quantised, and a quantised
base cannot be merged into exactly.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError, IntegrityError, RefusedError, SecurityError
from additive.tensors.json import AGAIN, parse_json

if TYPE_CHECKING:
    import torch


_TABLE: dict[str, tuple[int, str]] = {
    "BOOL": (1, "bool"),
    "U8": (1, "uint8"),
    "I8": (1, "int8"),
    "F8_E5M2": (1, "float8_e5m2"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E4M3FNUZ": (1, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (1, "float8_e5m2fnuz"),
    "F8_E8M0": (1, "float8_e8m0fnu"),
    "I16": (2, "int16"),
    "U16": (2, "uint16"),
    "F16": (2, "float16"),
    "BF16": (2, "bfloat16"),
    "I32": (4, "int32"),
    "U32": (4, "uint32"),
    "F32": (4, "float32"),
    "C64": (8, "complex64"),
    "F64": (8, "float64"),
    "I64": (8, "int64"),
    "U64": (8, "uint64"),
}


ITEM_BYTES: dict[str, int] = {name: size for name, (size, _) in _TABLE.items()}


_NAMES = {f"torch.{torch_name}": name for name, (_, torch_name) in _TABLE.items()}


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a safetensors dtype name.

    Raises: CompatibilityError for a name that the format does not know or this torch cannot hold.

    >>> torch_dtype("BF16")
    torch.bfloat16
    """
    import torch

    _, attribute = _TABLE.get(name, (0, ""))
    found = getattr(torch, attribute, None) if attribute else None
    if found is None:
        raise CompatibilityError(f"dtype is {name!r}; expected one of {', '.join(_TABLE)}")
    return found


def name_of(dtype: torch.dtype) -> str:
    """The safetensors name of a torch dtype.

    Raises: CompatibilityError for a dtype that the format cannot hold.

    >>> import torch; name_of(torch.float16)
    'F16'
    """
    try:
        return _NAMES[str(dtype)]
    except KeyError:
        raise CompatibilityError(f"dtype is {dtype}; expected one of {', '.join(_NAMES)}") from None


MAX_HEADER_BYTES = 100_000_000


MAX_METADATA_BYTES = 4 << 20


MAX_TENSORS = 100_000


MAX_DIMENSIONS = 16


# What git leaves in the place of a large file that was not fetched begins with these bytes.
_POINTER = b"version "


_NAME = re.compile(rb"[A-Za-z0-9_.\-]{1,256}")


_STRING = rb'"(?:[^"\\\x00-\x1f]|\\.)*+"'


_KEY = re.compile(rb'[ \t\r\n]*+"((?:[^"\\\x00-\x1f]|\\.){0,2048}+)"[ \t\r\n]*+:[ \t\r\n]*+')


_ENTRY = re.compile(rb"\{[^{}]{0,2048}\}")


_PAIR = rb"\s*+%b\s*+:\s*+%b\s*+" % (_STRING, _STRING)


_METADATA = re.compile(rb"\{(?:%b(?:,%b)*+|\s*+)\}" % (_PAIR, _PAIR))


_NEXT = re.compile(rb"[ \t\r\n]*+([,}])")


_OPEN = re.compile(rb"\{[ \t\r\n]*+")


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as a header describes it; `start` and `end` count from the file's data start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.end - self.start

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of one index of the first dimension; all bytes of a scalar."""
        return (
            self.numel // max(self.shape[0], 1) * ITEM_BYTES[self.dtype]
            if self.shape
            else self.nbytes
        )


@dataclass(frozen=True)
class Header:
    """A whole header: tensors in file order, free metadata, where data begins, file length."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """Read and check the header of one safetensors file.

    Raises: IntegrityError for a file that is missing, truncated, has holes, overlaps, duplicate
    keys, unknown dtypes or sizes that do not fit; SecurityError for a name outside
    `[A-Za-z0-9_.-]{1,256}` or a path that is no regular file.

    Example: `read_header(Path("model.safetensors")).tensors["model.norm.weight"].shape`
    """
    where = str(path)
    text, data_start, file_bytes = _header_text(path, where)
    tensors, metadata = _scan(text, where)
    ordered = _in_file_order(tensors, file_bytes - data_start, where)
    return Header(ordered, metadata, data_start, file_bytes)


def _header_text(path: Path, where: str) -> tuple[bytes, int, int]:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise IntegrityError("file is missing", where=where, help=AGAIN) from None
    if not stat.S_ISREG(status.st_mode):
        raise SecurityError("path is not a regular file", where=where)
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start == _POINTER:
            raise IntegrityError(
                "file is a git-lfs pointer; expected the tensors themselves",
                where=where,
                help="git lfs pull, in the repository that it was cloned from",
            )
        if status.st_size < 8 or length > status.st_size - 8:
            raise IntegrityError(
                f"header says {length} bytes; the file has {status.st_size}",
                where=where,
                help=AGAIN,
            )
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise IntegrityError(
                f"header has {length} bytes; expected 2 to {MAX_HEADER_BYTES}",
                where=where,
            )
        return file.read(length), 8 + length, status.st_size


def _scan(text: bytes, where: str) -> tuple[list[TensorInfo], dict[str, str]]:
    opening = _OPEN.match(text)
    if opening is None:
        raise IntegrityError("header is not a JSON object", where=where)
    position, tensors, names, metadata = opening.end(), [], set[str](), None
    if text[position : position + 1] == b"}":
        _check_padding(text, position + 1, where)
        return [], {}
    while True:
        key, position = _key(text, position, where)
        if key in names:
            raise IntegrityError(f"tensor {key!r} is there twice", where=where)
        names.add(key)
        if key == "__metadata__":
            metadata, position = _metadata(text, position, where)
        else:
            info, position = _tensor(key, text, position, where)
            tensors.append(info)
        if len(tensors) > MAX_TENSORS:
            raise IntegrityError(f"file has more than {MAX_TENSORS} tensors", where=where)
        separator = _NEXT.match(text, position)
        if separator is None:
            raise IntegrityError(f"header is not JSON after {key!r}", where=where)
        position = separator.end()
        if separator[1] == b"}":
            _check_padding(text, position, where)
            return tensors, metadata or {}


def _check_padding(text: bytes, position: int, where: str) -> None:
    if text[position:].strip(b" \t\r\n"):
        raise IntegrityError("header has text after its end", where=where)


def _key(text: bytes, position: int, where: str) -> tuple[str, int]:
    match = _KEY.match(text, position)
    if match is None:
        raise IntegrityError(f"header is not JSON at byte {position}", where=where)
    key = match[1]
    if not _NAME.fullmatch(key):
        name = key[:80].decode(errors="replace")
        raise SecurityError(
            f"tensor name is {name!r}; expected 1 to 256 of A-Z a-z 0-9 _ . -",
            where=where,
        )
    return key.decode(), match.end()


def _metadata(text: bytes, position: int, where: str) -> tuple[dict[str, str], int]:
    match = _METADATA.match(text, position, min(len(text), position + MAX_METADATA_BYTES))
    if match is None:
        raise IntegrityError(
            f"__metadata__ should be strings, {MAX_METADATA_BYTES} bytes at most",
            where=where,
        )
    return parse_json(match[0], where), match.end()


def _tensor(name: str, text: bytes, position: int, where: str) -> tuple[TensorInfo, int]:
    match = _ENTRY.match(text, position)
    if match is None:
        raise IntegrityError(f"entry of tensor {name!r} is not a small JSON object", where=where)
    entry = parse_json(match[0], f"{where}: {name}")
    return _checked_entry(name, entry, where), match.end()


def _checked_entry(name: str, entry: dict[str, Any], where: str) -> TensorInfo:
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _fault(name, f"keys {sorted(entry)}", "dtype, shape and data_offsets", where)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _fault(name, f"dtype {dtype!r}", f"one of {', '.join(ITEM_BYTES)}", where)
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _fault(name, f"shape {shape!r}", f"at most {MAX_DIMENSIONS} whole numbers", where)
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _fault(name, f"data_offsets {offsets!r}", "two rising whole numbers", where)
    size = math.prod(shape) * ITEM_BYTES[dtype]
    if size != offsets[1] - offsets[0]:
        raise _fault(name, f"{offsets[1] - offsets[0]} bytes", f"{size} for {dtype} {shape}", where)
    return TensorInfo(name, dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _fault(name: str, found: str, wanted: str, where: str) -> RefusedError:
    return IntegrityError(f"tensor {name!r} has {found[:200]}; expected {wanted}", where=where)


def _in_file_order(tensors: list[TensorInfo], data_bytes: int, where: str) -> dict[str, TensorInfo]:
    position = 0
    ordered = sorted(tensors, key=lambda info: (info.start, info.end))
    for info in ordered:
        if info.start != position:
            kind = (
                "overlaps what is before it" if info.start < position else "leaves a hole before it"
            )
            raise IntegrityError(
                f"tensor {info.name!r} {kind}: it starts at {info.start}, not at {position}",
                where=where,
            )
        position = info.end
    if position != data_bytes:
        raise IntegrityError(
            f"tensors end at byte {position}; the data has {data_bytes} bytes",
            where=where,
            help=AGAIN,
        )
    return {info.name: info for info in ordered}
