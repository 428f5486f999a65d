"""Plain data as JSON, so that nothing that comes out of the child is more than data.

    None True "a"            as they are          1.5            {"f": "1.5"}
    12                       {"i": "12"}          (1, 2)         {"t": [...]}
    [1, 2]                   {"l": [...]}         {1: 2}         {"d": [[...], ...]}
    {1, 2}                   {"s": [...]}         b"x"           {"b": "78"}
    1+2j                     {"c": [..., ...]}    Fraction(1, 2) {"q": "1/2"}, Decimal {"n": "0.5"}
    int, str, ValueError     {"y": "int"}         (Python's own types alone)
    a callable of the tests  {"k": 3}             anything else  {"h": 7}, kept by the child

Messages are JSON preceded by their length; a message longer than MOST_BYTES is refused unread.
"""

from __future__ import annotations

import builtins
import json
import os
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST_BYTES = 4 << 20
_MOST_DEPTH = 60


class NotPlainError(Exception):
    """A value that is no plain data, where nothing else can be passed."""


def encode(value: Any, other: Callable[[Any], Any], depth: int = 0) -> Any:
    """The JSON form of a value; `other` encodes what is no plain data, or raises NotPlainError.

    Subclasses are taken as what they are a kind of: a namedtuple is a tuple, a Counter a dict.
    """
    if value is None or isinstance(value, bool):
        return value
    if depth > _MOST_DEPTH:
        raise NotPlainError("value is nested too deeply")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return {"i": int.__repr__(value)}
    if isinstance(value, float):
        return {"f": float.__repr__(value)}
    if isinstance(value, complex):
        return {"c": [float.__repr__(value.real), float.__repr__(value.imag)]}
    if isinstance(value, bytes | bytearray):
        return {"b" if isinstance(value, bytes) else "a": bytes(value).hex()}
    if isinstance(value, Fraction):
        return {"q": f"{value.numerator}/{value.denominator}"}
    if isinstance(value, Decimal):
        return {"n": Decimal.__str__(value)}
    if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
        return {"y": value.__name__}
    for kind, tag in _KINDS:
        if isinstance(value, kind):
            return {tag: [encode(part, other, depth + 1) for part in kind.__iter__(value)]}
    if isinstance(value, dict):
        pairs = dict.items(value)
        return {"d": [[encode(part, other, depth + 1) for part in pair] for pair in pairs]}
    return other(value)


def decode(data: Any, other: Callable[[str, int], Any]) -> Any:
    """The value of a JSON form; `other` makes what stands for a callable ("k") or a handle ("h").

    Raises: ValueError for anything that `encode` does not write.
    """
    if data is None or isinstance(data, bool | str):
        return data
    if not isinstance(data, dict) or len(data) != 1:
        raise ValueError("not an encoded value")
    ((tag, body),) = data.items()
    if tag in ("k", "h") and isinstance(body, int):
        return other(tag, body)
    if tag in _CONTAINERS:
        return _CONTAINERS[tag](decode(part, other) for part in body)
    if tag == "d":
        return {decode(key, other): decode(value, other) for key, value in body}
    if tag in _SCALARS:
        return _SCALARS[tag](body)
    raise ValueError("not an encoded value")


_KINDS: tuple[tuple[Any, str], ...] = (
    (list, "l"), (tuple, "t"), (set, "s"), (frozenset, "z"),
)  # fmt: skip
_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "l": list, "t": tuple, "s": set, "z": frozenset,
}  # fmt: skip
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "i": int,
    "f": float,
    "c": lambda parts: complex(float(parts[0]), float(parts[1])),
    "b": bytes.fromhex,
    "a": bytearray.fromhex,
    "q": Fraction,
    "y": lambda name: _type(name),
    "n": Decimal,
}


def _type(name: Any) -> type:
    found = getattr(builtins, name, None) if isinstance(name, str) else None
    if not isinstance(found, type):
        raise ValueError("not an encoded value")
    return found


def send(file: int, message: Any) -> None:
    """Write one message to a descriptor.

    Raises: NotPlainError when it is too long; OSError when the other side is gone.
    """
    body = json.dumps(message).encode()
    if len(body) > MOST_BYTES:
        raise NotPlainError(f"value has {len(body)} bytes; expected at most {MOST_BYTES}")
    data = memoryview(struct.pack("<I", len(body)) + body)
    while data:
        data = data[os.write(file, data) :]


def receive(file: int) -> Any:
    """Read one message.

    Raises: EOFError when the other side is gone, ValueError when it is no message.
    """
    (length,) = struct.unpack("<I", _exactly(file, 4))
    if length > MOST_BYTES:
        raise ValueError("message is too long")
    return json.loads(_exactly(file, length))


def _exactly(file: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(file, min(count, 1 << 16))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
