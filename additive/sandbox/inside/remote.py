"""What the driver holds of the child: names that can be called, and handles of its objects.

A plain value that comes back is a value of the driver's own, and a test compares it there. An
object stays in the child; comparing it with a plain value is False whatever its `__eq__` says,
since otherwise one object could equal every expected answer.
"""

from __future__ import annotations

import builtins
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import codec
from .child import Caught

TIMED_OUT = "timed out"
_OUTPUT_BYTES = 64 << 10


class EndedError(BaseException):
    """The child is gone, silent for too long, or talks nonsense; no test can go on."""


class Connection:
    """The driver's side of the pipes to one child.

    `output` keeps the first 64 KB of what the child prints.
    """

    def __init__(self, requests: int, replies: int, output: int, deadline: float) -> None:
        self.requests, self.replies, self.printed = requests, replies, output
        self.deadline = deadline
        self.output = b""
        self.ended: str | None = None
        self.callables: list[Callable[..., Any]] = []
        self.mutates = False

    def ask(self, message: Any) -> Any:
        """Send a message and wait for its reply, serving the child's calls of our functions.

        Raises: EndedError when there is none by the deadline; what the code under test raised,
        under the same name if it is one of Python's own.
        """
        self._send(message)
        while True:
            reply = self._receive()
            if not isinstance(reply, dict):
                raise self.end("sent a malformed reply")
            if "callback" not in reply:
                break
            self._send(self._called_back(reply))
        if "error" in reply:
            raise _raised(reply["error"])
        return reply

    def end(self, reason: str) -> EndedError:
        """Note that the child is done for, whoever catches the error."""
        self.ended = self.ended or reason
        return EndedError(self.ended)

    def call(
        self, op: str, name: str, arguments: Sequence[Any], named: Mapping[str, Any] | None = None
    ) -> Any:
        """The value of a name, an operator or a function of the child applied to arguments."""
        reply = self.ask(
            {
                "op": op,
                "name": name,
                "args": [self._encoded(argument) for argument in arguments],
                "named": {key: self._encoded(value) for key, value in (named or {}).items()},
            }
        )
        value, changed = None, []
        with Caught() as caught:
            value = self._decoded(reply.get("value"))
            changed = [None if part is None else self._decoded(part) for part in reply["args"]]
        if caught.error is not None:
            raise self.end("sent a malformed reply")
        # What returns a value and empties its arguments would else pass `f(xs) == sorted(xs)`.
        if value is None or self.mutates:
            for argument, new in zip(arguments, changed, strict=False):
                _take_over(argument, new)
        return value

    def _encoded(self, value: Any) -> Any:
        return codec.encode(value, self._reference)

    def _reference(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return {"h": value._number}
        if isinstance(value, Name):
            return self._reference(value._value())
        if callable(value):
            self.callables.append(value)
            return {"k": len(self.callables) - 1}
        raise TypeError(f"an argument of type {type(value).__name__} cannot be passed to the code")

    def _decoded(self, data: Any) -> Any:
        return codec.decode(data, self._handle)

    def _handle(self, tag: str, number: int) -> Any:
        if tag != "h":
            raise ValueError("not a handle")
        return Handle(self, number)

    def _called_back(self, reply: Mapping[str, Any]) -> Any:
        with Caught() as caught:
            function = self.callables[reply["callback"]]
            value = function(*[self._decoded(part) for part in reply["args"]])
            return {"value": self._encoded(value)}
        return {"error": f"{type(caught.error).__name__}: {caught.error}"}

    def _send(self, message: Any) -> None:
        try:
            codec.send(self.requests, message)
        except OSError:
            raise self.end("ended the process") from None

    def _receive(self) -> Any:
        while True:
            left = self.deadline - time.monotonic()
            watched = [self.replies, *([self.printed] if self.printed >= 0 else [])]
            ready = select.select(watched, [], [], left)[0] if left > 0 else []
            if not ready:
                raise self.end(TIMED_OUT)
            if self.printed in ready:
                self._drain()
            elif self.replies in ready:
                try:
                    return codec.receive(self.replies)
                except (EOFError, OSError):
                    raise self.end("ended the process") from None
                except (ValueError, RecursionError):
                    raise self.end("sent a malformed reply") from None

    def _drain(self) -> None:
        part = os.read(self.printed, 1 << 16)
        if not part:
            self.printed = -1
        self.output = (self.output + part)[:_OUTPUT_BYTES]


class Name:
    """Something that the code defines, by its name; calling it calls it there.

    `kind` is "name", or "setup" for what the item's setup had defined before the code ran.
    """

    def __init__(self, connection: Connection, name: str, kind: str = "name") -> None:
        self._connection, self._name, self._kind = connection, name, kind

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it in the child."""
        return self._connection.call(self._kind, self._name, arguments, named)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._value(), attribute)

    def _value(self) -> Any:
        kind = "value" if self._kind == "name" else "setup value"
        return self._connection.call(kind, self._name, ())


class Handle:
    """An object that stays in the child."""

    def __init__(self, connection: Connection, number: int) -> None:
        vars(self).update(_connection=connection, _number=number)

    def _apply(
        self, operation: str, *arguments: Any, named: Mapping[str, Any] | None = None
    ) -> Any:
        return self._connection.call("operator", operation, (self, *arguments), named)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it in the child."""
        return self._apply("call", *arguments, named=named)

    def __getattr__(self, attribute: str) -> Any:
        return self._apply("getattr", attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        self._apply("setattr", attribute, value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._apply("setitem", key, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and bool(self._apply("eq", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return int(self._apply("hash"))

    def __lt__(self, other: Any) -> bool:
        return isinstance(other, Handle) and bool(self._apply("lt", other))

    def __len__(self) -> int:
        return int(self._apply("len"))

    def __iter__(self) -> Iterator[Any]:
        parts = self._apply("iterate")
        length = None
        with Caught():
            length = self._apply("len")
        if length is not None and length != len(parts):
            raise ValueError(f"has the length {length} and {len(parts)} elements")
        return iter(parts)

    def __next__(self) -> Any:
        return self._apply("next")

    def __getitem__(self, key: Any) -> Any:
        return self._apply("getitem", key)

    def __contains__(self, part: Any) -> bool:
        return any(part == mine for mine in self)

    def __bool__(self) -> bool:
        return self._apply("bool") is True

    def __str__(self) -> str:
        return str(self._apply("str"))

    def __repr__(self) -> str:
        return str(self._apply("repr"))


def _take_over(argument: Any, new: Any) -> None:
    """Make an argument what the call made of its copy."""
    if isinstance(argument, list | bytearray) and type(new) is type(argument):
        argument[:] = new
    elif isinstance(argument, dict | set) and isinstance(new, dict | set):
        argument.clear()
        argument.update(new)


def _raised(error: Any) -> Exception:
    """The exception that the code raised, as the nearest of Python's own, else RuntimeError."""
    kinds = error.get("kinds", []) if isinstance(error, dict) else []
    message = str(error.get("message", ""))[:500] if isinstance(error, dict) else ""
    for kind in kinds:
        known = getattr(builtins, kind, None) if isinstance(kind, str) else None
        if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
            with Caught():
                return known(message)
    return RuntimeError(f"{kinds[0]}: {message}" if kinds else message)
