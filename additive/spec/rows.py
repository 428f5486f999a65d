"""JSON-lines files: one object per line, every fault with its line.

domains/math/train.jsonl:17:9: row is not JSON (expecting ',' delimiter)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from additive.errors import SpecError, did_you_mean

MAX_ROW_BYTES = 4 << 20


MAX_FAULTS = 20


_LINES = "give a file of JSON lines: one object on each line"


@dataclass(frozen=True)
class JsonRow:
    """One row: `line` counts from 1."""

    line: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Scan:
    """What stands in a file: its rows, and a fault for each line that is none."""

    rows: tuple[JsonRow, ...]
    faults: tuple[str, ...]


Scanner = Callable[[Path, str], Scan]


"""Reads a file that messages call by the name; may remember what it has read."""


def count_rows(path: Path) -> int:
    """How many rows a JSON-lines file has; they are not parsed."""
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def read_rows(
    path: Path, display_path: str | None = None, scan: Scanner | None = None
) -> tuple[JsonRow, ...]:
    """Every row of a JSON-lines file; empty lines are skipped.

    Raises: SpecError with the first MAX_FAULTS faults, or when the file is missing or has no rows.
    """
    name = display_path or str(path)
    try:
        found = (scan or scan_rows)(path, name)
    except FileNotFoundError:
        raise SpecError([f"{name}: file is missing{_nearest(path)}"], help=_LINES) from None
    except IsADirectoryError:
        raise SpecError([f"{name}: is a directory; expected a file"], help=_LINES) from None
    if found.faults:
        raise SpecError(found.faults[:MAX_FAULTS], help=_LINES)
    if not found.rows:
        raise SpecError([f"{name}: file has no rows; expected at least one"], help=_LINES)
    return found.rows


def scan_rows(path: Path, name: str) -> Scan:
    """The rows of a JSON-lines file beside the faults of its other lines; none is raised.

    Raises: OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        found = [_row(line, data, name) for line, data in enumerate(file, 1) if data.strip()]
    rows = tuple(row for row in found if isinstance(row, JsonRow))
    return Scan(rows, tuple(fault for fault in found if isinstance(fault, str)))


def _nearest(path: Path) -> str:
    """The file that was probably meant, beside the one that is not there."""
    parent = path.parent
    names = [each.name for each in parent.iterdir() if each.is_file()] if parent.is_dir() else []
    return did_you_mean(path.name, names)


def _row(line: int, data: bytes, name: str) -> JsonRow | str:
    if len(data) > MAX_ROW_BYTES:
        limit = MAX_ROW_BYTES >> 20
        return f"{name}:{line}: row has {len(data) >> 20} MiB; expected at most {limit}"
    try:
        fields = _JSON.decode(data.decode("utf-8-sig" if line == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{data[error.start]:02x}"
        return f"{name}:{line}:{error.start + 1}: text is {wrong}; expected UTF-8"
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        return f"{name}:{line}:{error.colno}: row is not JSON ({reason})"
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return f"{name}:{line}: row is not JSON ({reason})"
    if b"\\ud" in data.lower() and _holds_surrogate(fields):
        return f"{name}:{line}: text holds half of a surrogate pair; expected Unicode text"
    if not isinstance(fields, dict):
        kind = {list: "a list", str: "text"}.get(type(fields), "a value")
        return f"{name}:{line}: row is {kind}; expected an object"
    return JsonRow(line, fields)


def _holds_surrogate(value: Any) -> bool:
    """Whether a text of a JSON value is no Unicode: an escape such as \\ud83d without its half."""
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(map(_holds_surrogate, (*value.keys(), *value.values())))
    return isinstance(value, list) and any(map(_holds_surrogate, value))


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is written twice")
    return fields


# json.loads would make one for every row.
_JSON = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_duplicates
)
