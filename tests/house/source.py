"""The package's source as the house tests see it: modules, and every import, lazy ones too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "additive"
_TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)+):\w+")
_BY_NAME = frozenset({"import_module", "__import__", "find_spec"})


@dataclass(frozen=True)
class Import:
    """One module that another names, at a line."""

    file: str
    line: int
    importer: str
    target: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, in order."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package: statements anywhere, import_module, and "module:Attr" texts."""
    known = frozenset(modules())
    return tuple(
        Import(relative(path), line, name, target)
        for name, path in modules().items()
        for line, target in imports_of(tree(path), name, path.name == "__init__.py", known)
    )


def imports_of(
    source: ast.Module, name: str, is_package: bool, known: frozenset[str]
) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of everything that one module imports; names resolve to modules."""
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, name, is_package)
            for alias in node.names:
                deeper = f"{origin}.{alias.name}"
                yield node.lineno, deeper if deeper in known else origin
        elif isinstance(node, ast.Call) and _called(node) in _BY_NAME and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value.partition(":")[0]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = _TARGET.fullmatch(node.value)
            if match and match["module"].split(".")[0] == "additive":
                yield node.lineno, match["module"]


def _origin(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def listing(faults: list[str]) -> str:
    """Faults as an assertion shows them, one per line."""
    return "\n" + "\n".join(faults)
