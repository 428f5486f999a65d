"""A package imports only from lower layers; packages of one layer never import each other."""

from __future__ import annotations

import ast

import pytest

from additive.cli.main import VERBS
from tests.house.source import PACKAGE, imports, imports_of, listing, modules, relative, tree

LAYERS = (
    ("errors",),
    ("types",),
    ("spec", "registry", "tensors"),
    ("artifacts", "deltas", "models", "sandbox", "graders", "overlap"),
    ("adopt", "curate", "train", "merge", "evaluate", "gate", "report"),
    ("workspace",),
    ("lint",),
    ("verbs", "testing"),
    ("cli",),
    ("__main__",),
)
LAYER = {unit: number for number, units in enumerate(LAYERS) for unit in units}
KNOWS = {
    "trl": {"train"},
    "lm_eval": {"evaluate"},
    "mergekit": {"merge"},
    "transformers": {"models", "train"},
    "peft": {"models", "train"},
}
FACADE = "additive"  # additive/__init__.py may name anything, but only in texts it resolves lazily
READS_ENVIRONMENT = "additive/workspace/environment.py"
# Modules are imported by name where an engine is needed late: the exported names and the table of
# verbs, so that `--help` is light, and the plug-ins. The sandbox imports what a program asks for.
IMPORTS_BY_NAME = ("additive/__init__.py", "additive/cli/main.py", "additive/registry.py")
RUNS_PROGRAMS = "additive/sandbox/inside/"
MERGEKIT = "additive/verbs/mergekit.py"  # its request is found without torch, and built with it


def unit_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "additive" and len(parts) > 1 else None


def may_import(importer: str, target: str) -> bool:
    return importer == target or LAYER[target] < LAYER[importer]


def test_every_package_has_a_layer():
    units = sorted({unit for name in modules() if (unit := unit_of(name))})
    missing = [unit for unit in units if unit not in LAYER]
    assert not missing, f"give these a layer in {relative(PACKAGE)}: {missing}"


def test_imports_point_downwards():
    faults = []
    for found in imports():
        importer, target = unit_of(found.importer), unit_of(found.target)
        if importer is None or target is None or importer not in LAYER:
            continue
        if target not in LAYER:
            faults.append(f"{found.place}: {found.target} is not a module of additive")
        elif not may_import(importer, target):
            faults.append(
                f"{found.place}: {importer} (layer {LAYER[importer]}) imports {found.target} "
                f"(layer {LAYER[target]})"
            )
    assert not faults, listing(faults)


def test_the_facade_imports_nothing_at_once():
    at_once = [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in tree(modules()[FACADE]).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and (getattr(node, "module", None) or "").startswith("additive")
    ]
    assert not at_once, listing(at_once)


def test_own_modules_are_imported_at_the_top():
    faults = [
        f"{relative(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in modules().values()
        if not relative(path).startswith((RUNS_PROGRAMS, MERGEKIT))
        for node in _late_imports(tree(path), by_name=relative(path) not in IMPORTS_BY_NAME)
    ]
    assert not faults, listing(faults)


def _late_imports(source: ast.Module, *, by_name: bool = True) -> list[ast.stmt | ast.expr]:
    """Own modules imported inside functions; with `by_name` also every import by a text."""
    functions = [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    late = [node for function in functions for node in ast.walk(function) if _imports_own(node)]
    calls = [
        node
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
    ]
    return late + (calls if by_name else [])


def _imports_own(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "additive" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (
        node.level > 0 or (node.module or "").split(".")[0] == "additive"
    )


@pytest.mark.parametrize(
    ("source", "late"),
    [
        ("from additive.types import seeds", 0),
        ("def f():\n    import torch", 0),
        ("def f():\n    from additive.types import seeds", 1),
        ("class A:\n    async def f(self):\n        import additive.types", 1),
        ("def f():\n    from . import seeds", 1),
        ("importlib.import_module('additive.types')", 1),
        ("__import__(name)", 1),
    ],
)
def test_late_imports_are_seen(source, late):
    assert len(_late_imports(ast.parse(source))) == late


def test_commands_reach_verbs_by_the_exported_names():
    faults = [
        f"{relative(path)}:{node.lineno}: {ast.unparse(node)}"
        for name, path in modules().items()
        if name.startswith("additive.cli.")
        for node in tree(path).body
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("additive.verbs")
        and node.module != "additive.verbs.mergekit"
    ]
    assert not faults, listing(faults)


def test_every_verb_has_one_file_on_each_side():
    for name, verb in VERBS.items():
        assert verb.command == f"additive.cli.{name}:command"
        assert f"additive.verbs.{name}" in modules(), name


@pytest.mark.parametrize("library", sorted(KNOWS))
def test_libraries_have_one_home(library):
    faults = [
        f"{found.place}: {found.importer} imports {found.target}"
        for found in imports()
        if found.target.split(".")[0] == library and unit_of(found.importer) not in KNOWS[library]
    ]
    assert not faults, f"only {sorted(KNOWS[library])} know {library}:{listing(faults)}"


def test_only_the_workspace_reads_the_environment():
    faults = [
        f"{relative(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in modules().values()
        if relative(path) != READS_ENVIRONMENT
        for node in _reads_of_the_environment(tree(path))
    ]
    assert not faults, listing(faults)


def _reads_of_the_environment(source: ast.Module) -> list[ast.AST]:
    """Mentions of os.environ or os.getenv; `os.environ[NAME] = value` alone is no reading."""
    written = {
        id(node.value)
        for node in ast.walk(source)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    return [node for node in ast.walk(source) if _environment(node) and id(node) not in written]


def _environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv"}
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "os" and node.attr in names
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name in names for alias in node.names)
    return False


def test_reading_and_writing_the_environment_are_told_apart():
    def reads(source):
        return len(_reads_of_the_environment(ast.parse(source)))

    assert reads("os.environ['A'] = 'x'") == 0
    assert reads("a = os.environ['A']; b = os.getenv('B')\nfrom os import environ") == 3
    assert reads("os.environ.setdefault('A', 'x')") == 1


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    from additive.train import run",
        "def f():\n    import additive.train.run",
        "from ..train import run",
        "if TYPE_CHECKING:\n    from additive.train.run import train",
        "import_module('additive.train.run')",
        "TABLE = {'x': 'additive.train.run:Train'}",
    ],
)
def test_the_walk_sees_every_kind_of_import(source):
    known = frozenset({"additive.train", "additive.train.run", "additive.gate.rules"})
    found = [
        unit_of(t) for _, t in imports_of(ast.parse(source), "additive.gate.rules", False, known)
    ]
    assert "train" in found
    assert not may_import("gate", "train")
    assert not may_import("spec", "gate")
    assert may_import("gate", "spec")
