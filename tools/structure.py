"""Measures how a source tree is cut: files, functions, docstrings, import circles, one-use helpers.

    python tools/structure.py [DIR] [--json] [--exclude NAME]...

DIR is a package or any other folder of Python files (default: `additive`). `--exclude NAME` leaves
out files and folders of that name, at any depth, and may be repeated. Only the standard library is
used, and nothing of DIR is imported.

What is counted:

- statements: nodes of the syntax tree, so that line breaks and comments do not matter
- function length: from `def` to the last line, nested functions and methods included
- public names: classes, functions and methods without a leading underscore, inside no function
- import circles: strongly connected components of the module graph; imports at the top, inside
  functions and under `if TYPE_CHECKING` all count. `from package import module` leads to the
  module, `from package import name` to the package's own `__init__`. That importing `a.b` also runs
  `a/__init__` is not counted, so a package that re-exports its modules is no circle; nor is an
  import of the outermost `__init__`, which every module of the tree runs anyway.
- late imports: import statements inside functions; own ones lead to a module of the tree
- private functions: module-level functions and methods with one leading underscore. "Used once"
  means that the name is mentioned once: in the function's own module, by an import of another one
  or, for a method, as an attribute in a module that has no method of that name itself.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
SMALL_FILE = 50


@dataclass(frozen=True)
class Source:
    """One parsed file; `module` is its dotted name, from the name of the tree's folder downwards.

    Attributes:
        is_package: the file is an `__init__.py`, and `module` the package.
        late: the ids of the nodes inside functions.
    """

    path: Path
    module: str
    is_package: bool
    text: str
    tree: ast.Module
    late: frozenset[int]


@dataclass(frozen=True)
class Structure:
    """The measures of one tree, in the order in which they are printed."""

    files: int
    lines: int
    statements: int
    docstring_lines: int
    median_file_lines: float
    files_under_50_lines: int
    functions: int
    median_function_lines: float
    p90_function_lines: int
    longest_function_lines: int
    public_names: int
    public_names_with_docstring: int
    import_circles: list[list[str]]
    late_imports: int
    late_imports_of_own_modules: int
    type_checking_blocks: int
    mean_line_length: float
    longest_line: int
    private_functions: int
    private_functions_used_once: int


def read_sources(root: Path, excluded: Iterable[str] = ()) -> list[Source]:
    """Parse every `*.py` file below a folder, sorted by path.

    Args:
        root: the folder; its own name is the first part of every module name.
        excluded: names of files and folders to leave out, wherever they lie.

    Raises: SyntaxError for a file that is not Python.
    """
    root, names = root.resolve(), set(excluded)
    sources = []
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root)
        if names.intersection(inner.parts):
            continue
        parts = [root.name, *inner.with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
        module = ".".join(parts[:-1] if is_package else parts)
        sources.append(Source(path, module, is_package, text, tree, _nodes_in_functions(tree)))
    return sources


def _nodes_in_functions(tree: ast.Module) -> frozenset[int]:
    functions = (node for node in ast.walk(tree) if isinstance(node, Function))
    return frozenset(
        id(inner) for function in functions for inner in ast.walk(function) if inner is not function
    )


def measure(sources: list[Source]) -> Structure:
    """Measure the parsed files of one tree.

    Example: `measure(read_sources(Path("additive"), ["data"])).import_circles`
    """
    lines = [source.text.splitlines() for source in sources]
    lengths = [len(line) for text in lines for line in text]
    nodes = [node for source in sources for node in ast.walk(source.tree)]
    functions = sorted(_span(node) for node in nodes if isinstance(node, Function))
    public = [node for source in sources for node in _public_names(source.tree.body)]
    uses = private_uses(sources)
    return Structure(
        files=len(sources),
        lines=len(lengths),
        statements=sum(isinstance(node, ast.stmt) for node in nodes),
        docstring_lines=sum(_docstring_lines(node) for node in nodes),
        median_file_lines=statistics.median(map(len, lines)) if lines else 0,
        files_under_50_lines=sum(len(text) < SMALL_FILE for text in lines),
        functions=len(functions),
        median_function_lines=statistics.median(functions) if functions else 0,
        p90_function_lines=functions[int(0.9 * len(functions))] if functions else 0,
        longest_function_lines=max(functions, default=0),
        public_names=len(public),
        public_names_with_docstring=sum(bool(ast.get_docstring(node)) for node in public),
        import_circles=circles(module_graph(sources)),
        late_imports=sum(len(_imports(source.tree) & source.late) for source in sources),
        late_imports_of_own_modules=_late_own_imports(sources),
        type_checking_blocks=sum(_is_type_checking(node) for node in nodes),
        mean_line_length=round(statistics.fmean(lengths), 1) if lengths else 0,
        longest_line=max(lengths, default=0),
        private_functions=len(uses),
        private_functions_used_once=sum(count == 1 for _, count in uses),
    )


def _span(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _docstring_lines(node: ast.AST) -> int:
    if not isinstance(node, Documented) or ast.get_docstring(node) is None:
        return 0
    text = node.body[0]
    return (text.end_lineno or text.lineno) - text.lineno + 1


def _public_names(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public_names(node.body)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def module_graph(sources: list[Source]) -> dict[str, set[str]]:
    """Module → the modules of the tree that it imports, at whatever place in its file."""
    names = frozenset(source.module for source in sources)
    graph = {}
    for source in sources:
        outermost = source.module.partition(".")[0]
        targets = {target for _, target in _own_imports(source, names)}
        graph[source.module] = targets - {source.module, outermost}
    return graph


def _own_imports(source: Source, names: frozenset[str]) -> Iterator[tuple[ast.AST, str]]:
    """Every import statement of a file with each module of the tree that it leads to."""
    tree_name = source.module.split(".")[0]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = _absolute(node, source)
            wanted = [(start, alias.name) for alias in node.names]
        else:
            continue
        for start, name in wanted:
            # Without the folder's name: where the tree is a `src` folder or a repository.
            options = (f"{start}.{name}", start, f"{tree_name}.{start}.{name}")
            options = (*options, f"{tree_name}.{start}")
            target = next((option for option in options if option in names), None)
            if target:
                yield node, target


def _absolute(node: ast.ImportFrom, source: Source) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    kept = len(parts) - node.level + source.is_package
    return ".".join([*parts[:kept], *filter(None, [node.module])])


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node, the largest first (Tarjan).

    >>> circles({"a": ["b"], "b": ["c"], "c": ["b"]})
    [['b', 'c']]
    """
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            place = stack.index(node)
            components.append(sorted(stack[place:]))
            del stack[place:]

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 2 * len(graph) + 1000))
    for node in sorted(graph):
        if node not in number:
            visit(node)
    sys.setrecursionlimit(limit)
    return sorted((c for c in components if len(c) > 1), key=lambda c: (-len(c), c))


def _imports(tree: ast.Module) -> set[int]:
    return {id(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}


def _late_own_imports(sources: list[Source]) -> int:
    names = frozenset(source.module for source in sources)
    return sum(
        len({id(node) for node, _ in _own_imports(source, names)} & source.late)
        for source in sources
    )


def private_uses(sources: list[Source]) -> list[tuple[str, int]]:
    """Every private function, as `module:name` or `module:Class.name`, and its mentions."""
    names = {source.module: Counter(_names(source.tree)) for source in sources}
    attributes = {source.module: Counter(_attributes(source.tree)) for source in sources}
    methods = {source.module: {name for _, name in _private_methods(source)} for source in sources}
    imported = Counter(
        (target, alias.name)
        for source in sources
        for node, target in _own_imports(source, frozenset(names))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    uses = []
    for source in sources:
        for node in source.tree.body:
            if isinstance(node, Function) and _is_private(node.name):
                key = (source.module, node.name)
                own = names[source.module][node.name] + attributes[source.module][node.name]
                uses.append((":".join(key), own + imported[key]))
        for owner, name in _private_methods(source):
            places = [m for m in names if m == source.module or name not in methods[m]]
            count = sum(attributes[module][name] for module in places)
            uses.append((f"{source.module}:{owner}.{name}", count))
    return uses


def _private_methods(source: Source) -> list[tuple[str, str]]:
    classes = (node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))
    return [
        (owner.name, node.name)
        for owner in classes
        for node in owner.body
        if isinstance(node, Function) and _is_private(node.name)
    ]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _names(tree: ast.Module) -> Iterator[str]:
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _attributes(tree: ast.Module) -> Iterator[str]:
    return (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def table(found: Structure) -> str:
    """The measures as lines of text, import circles last."""
    functions = (
        found.median_function_lines,
        found.p90_function_lines,
        found.longest_function_lines,
    )
    once, private = found.private_functions_used_once, found.private_functions
    rows = [
        ("files", f"{found.files}"),
        ("lines", f"{found.lines}"),
        ("statements", f"{found.statements}"),
        ("docstring lines", f"{found.docstring_lines}"),
        ("median file", f"{found.median_file_lines:g} lines"),
        (f"files under {SMALL_FILE} lines", f"{found.files_under_50_lines}"),
        ("functions", f"{found.functions}"),
        ("function length, median / p90 / max", " / ".join(f"{n:g}" for n in functions)),
        (
            "public names with a docstring",
            _part(found.public_names_with_docstring, found.public_names),
        ),
        (
            "late imports, own modules / all",
            f"{found.late_imports_of_own_modules} / {found.late_imports}",
        ),
        ("`if TYPE_CHECKING` blocks", f"{found.type_checking_blocks}"),
        ("line length, mean / max", f"{found.mean_line_length} / {found.longest_line}"),
        ("private functions used once", _part(once, private)),
        ("  among all functions", _part(once, found.functions)),
        ("import circles", f"{len(found.import_circles)}"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines += [f"  {len(circle)} modules: {' '.join(circle)}" for circle in found.import_circles]
    return "\n".join(lines)


def _part(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, measure, print; the exit code is 2 where there is nothing to measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path("additive"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--exclude", metavar="NAME", action="append", default=[], help="leave out files and folders"
    )
    options = parser.parse_args(arguments)
    sources = read_sources(options.directory, options.exclude)
    if not sources:
        parser.error(f"{options.directory} holds no Python file")
    found = measure(sources)
    print(json.dumps(asdict(found), indent=2) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
