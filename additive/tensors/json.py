"""JSON from strangers: UTF-8, no duplicate keys, no NaN or infinity, bounded in depth and size."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from additive.errors import IntegrityError, SecurityError

MAX_BYTES = 64 << 20


MAX_DEPTH = 100


AGAIN = "the file is damaged, or not all of it is there: copy or download it again"


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse one JSON value.

    Raises: IntegrityError for anything that is not strict JSON, a duplicate key included.

    >>> parse_json('{"a": [1, 2.5, null]}', "x.json")
    {'a': [1, 2.5, None]}
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = _DECODER.decode(decoded)
        if "\\u" in decoded:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except RecursionError:
        raise IntegrityError("JSON is nested too deeply", where=where, help=AGAIN) from None
    except ValueError as error:
        raise IntegrityError(f"text is not strict JSON: {error}", where=where, help=AGAIN) from None
    _check_depth(value, where)
    return value


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes; a pipe or device is never opened.

    Raises: IntegrityError when it is missing or too large, SecurityError when it is no regular
    file.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise IntegrityError("file is missing", where=str(path), help=AGAIN) from None
    if not stat.S_ISREG(status.st_mode):
        raise SecurityError("path is not a regular file", where=str(path))
    if status.st_size > limit:
        raise IntegrityError(
            f"file has {status.st_size} bytes; expected at most {limit}", where=str(path)
        )
    return path.read_bytes()


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Read one strict JSON file of at most `limit` bytes.

    Raises: IntegrityError, SecurityError as `read_bytes` and `parse_json` do.
    """
    return parse_json(read_bytes(path, limit), str(path))


def read_object(path: Path, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Read a strict JSON file that holds an object.

    Raises: IntegrityError when it holds anything else.
    """
    value = read_json(path, limit)
    if not isinstance(value, dict):
        raise IntegrityError(
            f"top of the file is {type(value).__name__}; expected an object",
            where=str(path),
            help=AGAIN,
        )
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key!r} is there twice")
            seen.add(key)
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is beyond the numbers of 64 bits")
    return value


def _check_depth(value: Any, where: str) -> None:
    # Whoever works on the value later may recurse; Python's own limit is for him too.
    level, depth = [value], 0
    while level := [entry for container in level for entry in _containers(container)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise IntegrityError(f"JSON is nested more than {MAX_DEPTH} deep", where=where)


def _containers(value: Any) -> list[Any]:
    entries = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [entry for entry in entries if isinstance(entry, dict | list)]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)
