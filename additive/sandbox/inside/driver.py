"""The driver: the tests of one job, with what the code defines as remote objects."""

from __future__ import annotations

import ast
import builtins
import importlib
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import codec
from .child import Caught
from .remote import Connection, EndedError, Name

_MOST_REASON = 300


def drive(job: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """Run a job's tests or calls, and say how they went."""
    sys.stdout = sys.stderr = io.StringIO()
    with Caught() as caught:
        names = connection.ask(job["code"])["names"]
        values = _calls(job, connection) if "calls" in job else _tests(job, names, connection)
        return _verdict(connection, connection.ended, values)
    return _verdict(connection, connection.ended or _told(caught.error), None)


def _verdict(connection: Connection, reason: str | None, values: Any) -> dict[str, Any]:
    return {
        "passed": reason is None,
        "reason": (reason or "")[:_MOST_REASON],
        "values": values,
        "output": connection.output.decode(errors="replace"),
    }


def _tests(job: Mapping[str, Any], names: Any, connection: Connection) -> None:
    """Execute every test in one namespace; the first that raises ends it."""
    space: dict[str, Any] = {"__name__": "__tests__", "__builtins__": builtins}
    for name in sorted(_wanted(job["tests"], job.get("entry")) & set(names)):
        space[name] = _bound(name, names[name], connection)
    for place, test in enumerate(job["tests"], 1):
        with Caught() as caught:
            exec(compile(test, f"<test {place}>", "exec"), space)
        if caught.error is not None:
            raise AssertionError(f"test {place}: {_told(caught.error)}") from caught.error


def _calls(job: Mapping[str, Any], connection: Connection) -> list[Any]:
    """What the function returns for each list of arguments; what cannot be passed is null."""
    found = []
    for arguments in job["calls"]:
        with Caught() as caught:
            value = connection.call("name", job["function"], arguments)
            found.append(codec.encode(value, _nothing))
        if connection.ended:
            raise EndedError(connection.ended)
        if caught.error is not None:
            found.append({"error": _told(caught.error)})
    return found


def _nothing(value: Any) -> Any:
    raise codec.NotPlainError(f"returned a {type(value).__name__}")


def _wanted(tests: Sequence[str], entry: str | None) -> set[str]:
    """The names that the tests use, other than Python's own and those they define themselves.

    The code may redefine `sum` only if that is what was asked for; else it could redefine `all`.
    """
    used: set[str] = set()
    own: set[str] = set()
    for test in tests:
        for node in ast.walk(ast.parse(test)):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else own).add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.alias):
                own.add((node.asname or node.name).split(".")[0])
    return used - own - (set(dir(builtins)) - {entry})


def _bound(name: str, kind: Any, connection: Connection) -> Any:
    """A function or class to call, a value, or the module of that name from Python's library."""
    if isinstance(kind, str) and kind.startswith("module "):
        module = kind.removeprefix("module ")
        if module.split(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(module)
    return connection.call("value", name, ()) if kind == "value" else Name(connection, name)


def _told(error: BaseException | None) -> str:
    if isinstance(error, EndedError):
        return str(error)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
