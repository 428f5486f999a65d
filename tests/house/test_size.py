"""Small files, small functions, and the few things that are refused everywhere."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.source import PACKAGE, ROOT, listing, modules, relative, tree

MOST_LINES = 450
MOST_FUNCTION_LINES = 80
CATCHES_ALL = "additive/cli/main.py"
# The command line's callbacks, and the stand-in for whatever generated code defines in the sandbox,
# whose signatures nobody knows beforehand.
FORWARDS = ("additive/cli/", "additive/sandbox/inside/remote.py")


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]


def test_files_are_small():
    paths = [*modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {relative(path): len(path.read_text().splitlines()) for path in paths}
    faults = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MOST_LINES]
    assert not faults, listing(faults)


def test_functions_are_small():
    faults = [
        f"{relative(path)}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in modules().values()
        for node in _functions(path)
        if node.end_lineno and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
    ]
    assert not faults, listing(faults)


def test_there_is_no_drawer_for_everything():
    faults = [
        relative(path)
        for path in PACKAGE.rglob("*")
        if path.name in ("utils.py", "utils", "helpers.py", "common.py", "misc.py")
    ]
    assert not faults, listing(faults)


def test_no_class_is_a_base_manager_or_helper():
    """`Base…` may be a noun of the domain (the base of a merge), but nothing inherits from it."""
    classes = [
        (relative(path), node)
        for path in modules().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    ]
    parents = {ast.unparse(parent) for _, node in classes for parent in node.bases}
    faults = [
        f"{file}:{node.lineno}: {node.name}"
        for file, node in classes
        if node.name.endswith(("Manager", "Helper", "Utils"))
        or (node.name.lstrip("_").startswith(("Base", "Abstract")) and node.name in parents)
    ]
    assert not faults, listing(faults)


def test_only_the_command_line_catches_everything():
    faults = [
        f"{relative(path)}:{node.lineno}: {ast.unparse(node).splitlines()[0]}"
        for path in modules().values()
        if relative(path) != CATCHES_ALL
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    ]
    assert not faults, listing(faults)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """Bare, `Exception`, or a `BaseException` that does not end in a plain `raise`."""
    kind = handler.type
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    names = {node.id if isinstance(node, ast.Name) else None for node in kinds}
    last = handler.body[-1]
    raises = isinstance(last, ast.Raise) and last.exc is None
    return "Exception" in names or ((kind is None or "BaseException" in names) and not raises)


def test_nothing_is_forwarded_blindly():
    faults = [
        f"{relative(path)}:{node.lineno}: {node.name}(**{node.args.kwarg.arg})"
        for path in modules().values()
        if not relative(path).startswith(FORWARDS)
        for node in _functions(path)
        if node.args.kwarg
    ]
    assert not faults, listing(faults)


def test_nothing_is_left_for_later():
    # The words are put together here, so that this file does not contain them.
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    paths = [*modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
    faults = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(word in line for word in words)
    ]
    assert not faults, listing(faults)
