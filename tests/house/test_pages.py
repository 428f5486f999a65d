"""What README and docs say is so: commands run, links lead somewhere, the file map is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.documents import Block, blocks, commands, execute, links, pages, script, steps
from tests.house.source import PACKAGE, ROOT, listing

QUICK_S, SLOW_S = 900, 7200
NOT_IN_THE_MAP = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
NOT_OURS = {"additive-demo", "build", "dist", "reports"}


def _runnable(slow: bool) -> list[str]:
    names = []
    for page in pages():
        found = [block for block in blocks(page) if block.runs]
        if found and (slow is any(block.slow for block in found) or not slow):
            names.append(str(page.relative_to(ROOT)))
    return names


@pytest.mark.parametrize("page", _runnable(slow=False))
def test_commands_of_a_page_run_in_an_empty_directory(page, tmp_path):
    text = script(ROOT / page, slow=False)
    if not text:
        pytest.skip(f"{page}: all of its commands are slow; `make soak` runs them")
    done = execute(text, tmp_path, QUICK_S)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-2000:]}"


@pytest.mark.soak
@pytest.mark.parametrize("page", _runnable(slow=True))
def test_slow_commands_of_a_page_run_too(page, tmp_path):
    done = execute(script(ROOT / page, slow=True), tmp_path, SLOW_S)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\n{done.stdout[-2000:]}"


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_pages_for_newcomers_have_commands_that_run(page):
    assert any(block.runs for block in blocks(ROOT / page)), f"{page} has no ```console run block"


def test_every_link_leads_to_a_file():
    faults = [
        f"{page.relative_to(ROOT)}:{line}: {target}"
        for page in pages()
        for line, target in links(page)
        if target and not (page.parent / target).exists()
    ]
    assert not faults, listing(faults)


def _map() -> dict[str, str]:
    """Path -> what README's file map says it is; names are nested by two spaces.

    A line may name several files, `a.py, b.py  what they are`.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^#+ .*file map.*?^```\w*\n(?P<map>.*?)^```", text, re.M | re.S | re.I)
    assert match, "README.md has no fenced block under a heading that says `File map`"
    found, parents = {}, [""]
    for line in match["map"].splitlines():
        entry = re.match(r"(?P<indent> *)(?P<names>\S+(?:, \S+)*)(?: {2,}(?P<says>.*))?$", line)
        assert entry, f"README.md: the file map's line is not `name  what it is`: {line!r}"
        depth = len(entry["indent"]) // 2
        for name in entry["names"].split(", "):
            path = parents[depth] + name
            parents[depth + 1 :] = [path if path.endswith("/") else path + "/"]
            found[path.rstrip("/")] = entry["says"] or ""
    return found


def test_the_file_map_names_only_what_is_there():
    faults = [path for path in _map() if not (ROOT / path).exists()]
    assert not faults, listing(faults)


@pytest.mark.parametrize("package", ["verbs", "merge", "train", "deltas", "gate"])
def test_the_file_map_names_every_file_of_a_package(package):
    named = _map()
    paths = [path for path in (PACKAGE / package).glob("*.py") if path.name != "__init__.py"]
    faults = [str(path.relative_to(ROOT)) for path in paths]
    faults = sorted(name for name in faults if not named.get(name))
    assert not faults, f"README's file map lacks, or does not explain:{listing(faults)}"


def test_the_glossary_names_files_and_classes_that_exist():
    rows = [
        line.split("|") for line in (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    ]
    places = [ref for row in rows if len(row) > 4 for ref in re.findall(r"`([^`]+)`", row[3])]
    assert len(places) > 30
    faults = []
    for place in places:
        name, _, defined = place.partition(": ")
        path = PACKAGE / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not path.exists() or (defined and not re.search(rf"^class {defined}\b", text, re.M)):
            faults.append(place)
    assert not faults, listing(faults)


def test_readme_can_be_read_at_once():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_file_map_names_every_package_and_folder():
    inside = [path for path in PACKAGE.iterdir() if path.name not in NOT_IN_THE_MAP]
    hidden_or_made = (".", *NOT_OURS)
    outside = [
        path
        for path in ROOT.iterdir()
        if path.is_dir()
        and not path.name.startswith(hidden_or_made)
        and "egg-info" not in path.name
    ]
    named = _map()
    faults = sorted(
        str(path.relative_to(ROOT))
        for path in [*inside, *outside]
        if not named.get(str(path.relative_to(ROOT)))
    )
    assert not faults, f"README's file map lacks, or does not explain:{listing(faults)}"


def test_console_blocks_run_what_stands_behind_the_prompt():
    block = Block("p.md", 1, ("console", "run"), "$ echo a \\\n>   b\na b\n$ echo c\nc\n")
    assert commands(block) == "echo a \\\n  b\necho c\n"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("(exit 3)", 0, "goes on\n"),
        ("true && (exit 3)", 0, "goes on\n"),
        ("true", 1, ""),
        ("(exit 2)", 1, ""),
        ("false\n(exit 3)", 1, ""),
    ],
)
def test_a_block_has_to_end_with_the_code_that_it_names(tmp_path, command, code, said):
    block = Block("p.md", 1, ("bash", "run", "exit=3"), f"{command}\n")
    done = execute(f"set -euo pipefail\n{steps(block)}\necho goes on", tmp_path, 10)
    assert (done.returncode, done.stdout) == (code, said)


def test_a_page_becomes_one_script_in_one_directory(tmp_path):
    page = ROOT / "docs" / "decisions" / "0000-template.md"
    assert script(page, slow=True) == ""
    text = "set -e\nmkdir -p a\ncat > a/b <<'END-OF-FILE'\nx\nEND-OF-FILE\ncd a\ncat b\nfalse\n"
    done = execute(text, tmp_path, 10)
    assert (done.returncode, done.stdout) == (1, "x\n")
    assert Path(tmp_path / "a" / "b").read_text() == "x\n"
