"""The child: executes the code under test, then answers one request after the other.

It writes nothing but replies to its two pipes, and a reply is data. It does not know the tests, so
there is nothing in its memory that would tell what a right answer is.
"""

from __future__ import annotations

import builtins
import operator
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import codec

REQUESTS, REPLIES, OUTPUT = 3, 4, 1
_MOST_ITERATED = 100_000


class Caught:
    """Holds whatever the code under test raised, SystemExit and KeyboardInterrupt included."""

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        self.error = error
        return True


class ChildSession:
    """The code's namespace, and the objects of it that the tests hold handles to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__sandbox__", "__builtins__": builtins}
        self.setup: dict[str, Any] = {}
        self.kept: list[Any] = []

    def execute(self, setup: str, code: str) -> Any:
        """Run the item's setup and the module, and say what they define: name -> kind."""
        sys.modules["__sandbox__"] = type(sys)("__sandbox__")
        self.names = vars(sys.modules["__sandbox__"])
        exec(compile(setup, "<setup>", "exec"), self.names)
        self.setup = dict(self.names)
        exec(compile(code, "<code>", "exec"), self.names)
        return {
            name: _kind(value)
            for name, value in self.names.items()
            if isinstance(name, str) and not name.startswith("__")
        }

    def answer(self, request: dict[str, Any]) -> Any:
        """The reply to one request: call a name or handle, or apply an operator."""
        arguments = [self._decoded(part) for part in request["args"]]
        named = {name: self._decoded(part) for name, part in request["named"].items()}
        value = self._function(request)(*arguments, **named)
        return {
            "value": self._encoded(value),
            # Tests look at lists that a function changed in place.
            "args": [self._encoded(a) if _mutable(a) else None for a in arguments],
        }

    def _function(self, request: dict[str, Any]) -> Callable[..., Any]:
        if request["op"] == "name":
            return self.names[request["name"]]
        if request["op"] == "setup":
            return self.setup[request["name"]]
        if request["op"] in ("value", "setup value"):
            names = self.names if request["op"] == "value" else self.setup
            return lambda: names[request["name"]]
        return _OPERATIONS[request["name"]]

    def _encoded(self, value: Any) -> Any:
        return codec.encode(value, self._keep)

    def _keep(self, value: Any) -> Any:
        self.kept.append(value)
        return {"h": len(self.kept) - 1}

    def _decoded(self, data: Any) -> Any:
        return codec.decode(data, self._other)

    def _other(self, tag: str, number: int) -> Any:
        return self.kept[number] if tag == "h" else self._callback(number)

    def _callback(self, number: int) -> Callable[..., Any]:
        """A function of the tests, called by the code under test."""

        def call(*arguments: Any) -> Any:
            parts = [self._encoded(argument) for argument in arguments]
            codec.send(REPLIES, {"callback": number, "args": parts})
            reply = codec.receive(REQUESTS)
            if "error" in reply:
                raise RuntimeError(reply["error"])
            return self._decoded(reply["value"])

        return call


def serve() -> None:
    """Answer until the requests end. The first one is the code."""
    session = ChildSession()
    job = codec.receive(REQUESTS)
    _reply(lambda: {"names": session.execute(job["setup"], job["code"])})
    while True:
        request = codec.receive(REQUESTS)
        _reply(lambda request=request: session.answer(request))


def _reply(work: Callable[[], Any]) -> None:
    reply: Any = None
    with Caught() as caught:
        reply = work()
    if caught.error is not None:
        reply = {"error": _described(caught.error)}
    with Caught() as caught:
        codec.send(REPLIES, reply)
    if isinstance(caught.error, codec.NotPlainError):
        codec.send(REPLIES, {"error": _described(caught.error)})
    elif caught.error is not None:
        os._exit(1)


def _described(error: BaseException) -> Any:
    kinds = [kind.__name__ for kind in type(error).__mro__]
    message = "no message"
    with Caught():
        message = str(error)[:500]
    return {"kinds": kinds, "message": str.__str__(message) if isinstance(message, str) else ""}


def _kind(value: Any) -> str:
    if isinstance(value, type(sys)):
        return f"module {value.__name__}"
    return "callable" if callable(value) else "value"


def _mutable(value: Any) -> bool:
    return isinstance(value, list | dict | set | bytearray)


def _iterate(value: Any) -> list[Any]:
    found = []
    for part in value:
        found.append(part)
        if len(found) > _MOST_ITERATED:
            raise MemoryError("iterates for too long")
    return found


_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge", "contains")},
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "getitem", "setitem")},
    "call": lambda function, *arguments, **named: function(*arguments, **named),
    **{function.__name__: function for function in (getattr, setattr, len, next, bool, str, repr)},
    **{function.__name__: function for function in (hash, abs, float, int)},
    "iterate": _iterate,
}
