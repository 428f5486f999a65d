"""The measures of a small tree that is known by heart."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from tools.structure import circles, main, measure, module_graph, private_uses, read_sources

FILES = {
    "__init__.py": '"""The package."""\nfrom demo.one import f\n',
    "one.py": '''
        """One."""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from demo import VERSION
        if TYPE_CHECKING:
            from demo.inner import two

        def f():
            """Calls once, and once more often."""
            return _once() + _twice() + _twice()

        def _once():
            from demo.three import g
            import json
            return g

        def _twice(): ...
    ''',
    "three.py": """
        from .inner.two import Shape
        from .one import _once

        def g(): ...
    """,
    "inner/__init__.py": "from .two import Shape\n",
    "inner/two.py": '''
        class Shape:
            """A shape."""

            def area(self):
                return self._width() * self._width()

            def _width(self): ...

            def _height(self):
                def nested(): ...
                return self._height
    ''',
    "data/generated.py": "x = 1\n",
}


@pytest.fixture
def sources(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "demo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())
    return read_sources(tmp_path / "demo", ["data"])


def test_modules_are_named_from_the_folder_downwards(sources):
    modules = [source.module for source in sources]
    assert modules == ["demo", "demo.inner", "demo.inner.two", "demo.one", "demo.three"]


def test_every_import_is_an_edge_and_the_outermost_package_is_none(sources):
    graph = module_graph(sources)
    assert graph["demo.one"] == {"demo.inner.two", "demo.three"}
    assert graph["demo.three"] == {"demo.inner.two", "demo.one"}
    assert graph["demo.inner"] == {"demo.inner.two"}
    assert measure(sources).import_circles == [["demo.one", "demo.three"]]


def test_a_source_folder_and_a_package_are_measured_alike(tmp_path):
    for name, text in {"a.py": "import pkg.b", "b.py": "from pkg import a"}.items():
        (tmp_path / "src" / "pkg").mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / "pkg" / name).write_text(text)
    for folder, prefix in ((tmp_path / "src", "src.pkg"), (tmp_path / "src" / "pkg", "pkg")):
        found = measure(read_sources(folder)).import_circles
        assert found == [[f"{prefix}.a", f"{prefix}.b"]]


def test_private_functions_are_counted_by_their_mentions(sources):
    assert dict(private_uses(sources)) == {
        "demo.one:_once": 2,  # a call, and an import of another module
        "demo.one:_twice": 2,
        "demo.inner.two:Shape._width": 2,
        "demo.inner.two:Shape._height": 1,
    }


def test_the_rest_is_counted(sources):
    found = measure(sources)
    assert (found.files, found.files_under_50_lines, found.functions) == (5, 5, 8)
    assert (found.public_names, found.public_names_with_docstring) == (4, 2)
    assert (found.late_imports, found.late_imports_of_own_modules) == (2, 1)
    assert (found.docstring_lines, found.type_checking_blocks) == (4, 1)
    assert (found.private_functions, found.private_functions_used_once) == (4, 1)
    assert (found.median_function_lines, found.longest_function_lines) == (1.5, 4)


def test_components_are_found_in_any_graph():
    graph = {"a": "b", "b": "ac", "c": "d", "d": "e", "e": "cf", "f": "", "g": "g"}
    assert circles(graph) == [["c", "d", "e"], ["a", "b"]]
    assert circles({str(n): [str(n + 1)] for n in range(3000)}) == []


def test_the_command_prints_a_table_and_json(sources, tmp_path, capsys):
    folder = str(tmp_path / "demo")
    assert main([folder, "--exclude", "data"]) == 0
    assert "import circles                       1\n  2 modules: demo.one demo.three" in (
        capsys.readouterr().out
    )
    assert main([folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 6
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "nowhere")])
