"""code: the program in an answer, and whether it passes the item's tests.

    {"id": "11", "prompt": "Write a function add(a, b).", "grader": "code", "entry": "add",
     "tests": ["assert add(2, 3) == 5", "assert add(-1, 1) == 0"]}

The program is the last fenced block of the answer, else the whole answer; an item's `setup`
(imports that its prompt shows, say) stands before it. Running it is someone else's work: this
module never executes anything.
"""

from __future__ import annotations

import ast
import re
import warnings

from additive.errors import IntegrityError
from additive.graders.grade import Item, Program

VERSION = "code/1"


_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL | re.IGNORECASE)


_MOST_CHARACTERS = 100_000


def program(item: Item, answer: str) -> Program | None:
    """The program to run; None when the answer has no Python code, or lacks the item's `entry`.

    Raises: IntegrityError when the item's tests are not a list of statements, or its setup no text.
    """
    tests = item.get("tests")
    where = f"item {item.get('id')!r}"
    if isinstance(tests, str) or not tests or not all(isinstance(test, str) for test in tests):
        raise IntegrityError(
            f"tests is {tests!r:.80}; expected a list of Python statements", where=where
        )
    entry = item.get("entry")
    if entry is not None and not (isinstance(entry, str) and entry.isidentifier()):
        raise IntegrityError(f"entry is {entry!r}; expected a function's name", where=where)
    setup = item.get("setup", "")
    if not isinstance(setup, str):
        raise IntegrityError(f"setup is {setup!r:.80}; expected Python code", where=where)
    code = extract_code(answer)
    names = defined_names(code)
    if names is None or (entry is not None and entry not in names):
        return None
    return Program(f"{setup}\n{code}" if setup else code, tuple(tests), entry)


def extract_code(answer: str) -> str:
    """The last fenced block that is Python, else the last one, else the whole answer."""
    blocks = _FENCE.findall(answer[:_MOST_CHARACTERS])
    readable = [block for block in blocks if defined_names(block)]
    if readable:
        return readable[-1]
    return blocks[-1] if blocks else answer[:_MOST_CHARACTERS].strip("\n")


def defined_names(code: str) -> frozenset[str] | None:
    """The names that a module binds at its top level; None when it is no Python or binds none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    found = {
        name
        for statement in tree.body
        for node in ast.walk(statement)
        for name in _bound(node, node is statement)
    }
    return frozenset(found) or None


def _bound(node: ast.AST, top: bool) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and top:
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom) and top:
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign) and top:
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and top and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []
