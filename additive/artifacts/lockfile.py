"""`additive.lock`: every input of a workspace by digest; sorted, no times, a line per input.

{"schema": "additive.lock/1",
 "base": {"weights": "9f3c…"}, "data": {"domains/math/train.jsonl": "77ab…"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from additive.artifacts.atomic import render_json, write_text
from additive.errors import IntegrityError
from additive.tensors.json import read_object

SCHEMA = "additive.lock/1"


Inputs = Mapping[str, Mapping[str, str]]


def read_lockfile(path: Path) -> dict[str, dict[str, str]]:
    """The inputs of a lock file by section and name; empty when there is no file yet.

    Raises: IntegrityError when it is damaged (a merge conflict, for example) or of another version.
    """
    if not path.exists():
        return {}
    fields = read_object(path)
    schema = fields.pop("schema", None)
    if schema != SCHEMA:
        raise IntegrityError(f"schema is {schema!r}; expected {SCHEMA!r}", where=str(path))
    for section, inputs in fields.items():
        if not isinstance(inputs, dict) or not all(isinstance(v, str) for v in inputs.values()):
            raise IntegrityError(f"section {section!r} is not names with texts", where=str(path))
    return fields


def write_lockfile(path: Path, inputs: Inputs) -> bool:
    """Write the inputs atomically; False, and no write, when the file says the same already.

    Raises: ResourceError when the disk is full or fails.
    """
    text = render_json(
        {"schema": SCHEMA} | {name: dict(section) for name, section in inputs.items()}
    )
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def changes(old: Inputs, new: Inputs) -> tuple[str, ...]:
    """What differs between two lock files, one line per input, sorted.

    >>> changes({"data": {"a": "11"}}, {"data": {"a": "22", "b": "33"}})
    ('data a: 11 -> 22', 'data b: added')
    """
    before, after = _flat(old), _flat(new)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was != now:
            word = (
                "added"
                if was is None
                else "removed"
                if now is None
                else f"{was[:12]} -> {now[:12]}"
            )
            lines.append(f"{key}: {word}")
    return tuple(lines)


def _flat(inputs: Inputs) -> dict[str, str]:
    return {
        f"{section} {name}": v for section, names in inputs.items() for name, v in names.items()
    }
