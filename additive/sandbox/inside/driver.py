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
_COMMON = ("math", "collections", "itertools", "functools", "copy", "re", "random", "statistics")


def drive(job: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """Run a job's tests or calls, and say how they went."""
    sys.stdout = sys.stderr = io.StringIO()
    with Caught() as caught:
        space = _own_space(job.get("setup", ""))
        connection.mutates = bool(job.get("mutates"))
        names = connection.ask({"setup": job.get("setup", ""), "code": job["code"]})["names"]
        if "calls" in job:
            return _verdict(connection, connection.ended, _calls(job, connection))
        _tests(job, names, space, connection)
        return _verdict(connection, connection.ended, None)
    broken = isinstance(caught.error, SetupError)
    reason = connection.ended or _told(caught.error)
    return {**_verdict(connection, reason, None), "broken": broken}


def _verdict(connection: Connection, reason: str | None, values: Any) -> dict[str, Any]:
    return {
        "passed": reason is None,
        "reason": (reason or "")[:_MOST_REASON],
        "values": values,
        "output": connection.output.decode(errors="replace"),
    }


class SetupError(Exception):
    """The item's own setup raised; the code under test has no part in it."""


def _own_space(setup: str) -> dict[str, Any]:
    """The namespace of the tests, with what the item's setup defines."""
    space: dict[str, Any] = {"__name__": "__tests__", "__builtins__": builtins}
    with Caught() as caught:
        exec(compile(setup, "<setup>", "exec"), space)
    if caught.error is not None:
        raise SetupError(f"the item's setup raised {_told(caught.error)}") from caught.error
    return space


def _tests(
    job: Mapping[str, Any], names: Any, space: dict[str, Any], connection: Connection
) -> None:
    """Execute every test in one namespace; the first that raises ends it.

    A name of the tests is, in this order: Python's own, the tests' own, the setup's, a module or
    function of Python's library, and only then what the code defines. So the code can replace
    nothing that the tests rely on but what was asked for.
    """
    entry, setup = job.get("entry"), job.get("setup", "")
    remote = _built_on_classes(setup)
    for name in sorted(_wanted(job["tests"], entry)):
        if name in remote:
            space[name] = Name(connection, name, "setup")
        elif name in space and name != entry:
            continue
        elif name != entry and (own := _library(name, job["tests"], entry)) is not None:
            space[name] = own
        elif name in names:
            space[name] = _bound(name, names[name], connection)
    for place, test in enumerate(job["tests"], 1):
        with Caught() as caught:
            exec(compile(test, f"<test {place}>", "exec"), space)
        if caught.error is not None:
            raise AssertionError(f"test {place}: {_told(caught.error)}") from caught.error


def _built_on_classes(setup: str) -> set[str]:
    """The setup's classes, and what uses them: their instances have to live beside the code."""
    uses: dict[str, set[str]] = {}
    classes: set[str] = set()
    for statement in ast.parse(setup).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            uses[statement.name] = read
            if isinstance(statement, ast.ClassDef):
                classes.add(statement.name)
    while more := {name for name, read in uses.items() if read & classes} - classes:
        classes |= more
    return classes


def _library(name: str, tests: Sequence[str], entry: str | None) -> Any:
    """A module of Python's library that the tests take something from, or, where the item says
    what was asked for, a function that its code may have imported; else None."""
    if name in sys.stdlib_module_names and name not in _called(tests):
        with Caught():
            return importlib.import_module(name)
    if entry is not None:
        for module in _COMMON:
            found = getattr(importlib.import_module(module), name, None)
            if callable(found):
                return found
    return None


def _called(tests: Sequence[str]) -> set[str]:
    calls = [n for test in tests for n in ast.walk(ast.parse(test)) if isinstance(n, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


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
