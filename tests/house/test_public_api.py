"""Every public name is documented and annotated; `additive` itself is light and complete."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator

import additive
from tests.house.source import ROOT, listing, modules, relative, tree

Function = ast.FunctionDef | ast.AsyncFunctionDef
HEAVY = ("torch", "transformers", "peft", "trl", "lm_eval", "mergekit", "matplotlib", "datasets")


def _public(name: str) -> bool:
    return not name.startswith("_")


def _public_modules() -> Iterator[tuple[str, ast.Module]]:
    for name, path in modules().items():
        if all(_public(part) or part == "__main__" for part in name.split(".")):
            yield relative(path), tree(path)


def _definitions() -> Iterator[tuple[str, ast.ClassDef | Function]]:
    for file, source in _public_modules():
        for node in source.body:
            if isinstance(node, ast.ClassDef | Function) and _public(node.name):
                yield file, node


def _functions() -> Iterator[tuple[str, str, Function]]:
    """Public functions and the methods of public classes, special methods too."""
    for file, node in _definitions():
        if isinstance(node, Function):
            yield file, node.name, node
            continue
        for member in node.body:
            if isinstance(member, Function):
                yield file, f"{node.name}.{member.name}", member


def test_every_module_says_what_it_is():
    faults = [file for file, source in _public_modules() if not ast.get_docstring(source)]
    assert not faults, listing(faults)


def test_every_public_class_and_function_has_a_docstring():
    faults = [
        f"{file}:{node.lineno}: {node.name}"
        for file, node in _definitions()
        if not ast.get_docstring(node)
    ]
    assert not faults, listing(faults)


def test_every_public_function_and_method_is_annotated():
    faults = [
        f"{file}:{node.lineno}: {name} lacks {missing}"
        for file, name, node in _functions()
        if (missing := ", ".join(_unannotated(node, "." in name)))
    ]
    assert not faults, listing(faults)


def _unannotated(node: Function, is_method: bool) -> list[str]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if is_method and "staticmethod" not in decorators:
        arguments = arguments[1:]
    arguments += [*node.args.kwonlyargs]
    arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
    lacking = [argument.arg for argument in arguments if argument.annotation is None]
    return lacking + (["a return type"] if node.returns is None else [])


_PROBE = """
import json, sys
import additive
light = [name for name in {heavy!r} if name in sys.modules]
names = list(additive.__all__)
lost = [name for name in names if not hasattr(additive, name)]
print(json.dumps([light, names, lost]))
"""


def test_the_facade_is_light_sorted_and_complete():
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE.format(heavy=HEAVY)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr
    heavy, names, lost = json.loads(probe.stdout.splitlines()[-1])
    assert not heavy, f"import additive imports {heavy}"
    assert names == sorted(names)
    assert len(names) == len(set(names))
    assert not lost, f"additive.__all__ names {lost}, which it does not have"


def test_every_exported_name_has_one_home_and_hides_no_package():
    """The names for type checkers, those at run time, and `__all__` are the same."""
    (block,) = [node for node in tree(modules()["additive"]).body if isinstance(node, ast.If)]
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == additive._HOMES
    assert sorted(typed) == additive.__all__
    packages = {name.removeprefix("additive.") for name in modules()}
    assert not packages & set(typed), "an exported name would hide a module of the package"


def test_the_facade_knows_its_names_when_asked_for_an_unknown_one():
    code = "import additive\nadditive.no_such_name"
    probe = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "AttributeError" in probe.stderr
