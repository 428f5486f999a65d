"""The commands on the pages of methods and of diagnose run as they stand there, on adapters."""

from __future__ import annotations

import shlex

import pytest

from additive.cli.main import run
from tests.house.documents import blocks
from tests.house.source import ROOT
from tests.verbs.making import make_adapters

ROWS = {name: [{"prompt": name, "completion": "x"}] for name in ("math", "code", "sql")}
PAGES = [*sorted((ROOT / "docs" / "methods").glob("*.md")), ROOT / "docs" / "diagnose.md"]


def _commands(page):
    lines = [b.text.splitlines() for b in blocks(page) if b.info == ("console",)]
    said = [line.partition("#  ")[0] for block in lines for line in block if line.startswith("$ ")]
    return [shlex.split(line.removeprefix("$ ")) for line in said]


@pytest.fixture(scope="module")
def root(tmp_path_factory, bases):
    return make_adapters(tmp_path_factory.mktemp("pages") / "work", bases(), ROWS).root


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_they_say(root, page, capsys):
    found = _commands(page)
    assert found, f"{page.name} shows no command"
    for program, verb, *words in found:
        assert program == "additive"
        options = ["--no-check"] if verb == "merge" else []
        assert run(["-C", str(root), "-q", verb, *words, *options]) == 0, capsys.readouterr().err
