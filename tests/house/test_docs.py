"""Every verb, option, spec key and merge method is documented, and nothing that does not exist."""

from __future__ import annotations

import re

import click
import pytest

from tests.house.documents import blocks, pages, sections
from tests.house.source import ROOT, listing
from tools import cli_page as docs

PAGE = ROOT / "docs" / "cli.md"
SPECS = ROOT / "docs" / "specs.md"


def test_every_verb_has_a_section_and_no_other():
    described = {
        name.removeprefix("additive ") for name in sections(PAGE, 2) if name.startswith("additive ")
    }
    assert described == set(docs.commands())


def test_every_verb_has_its_options_and_an_example():
    page = PAGE.read_text(encoding="utf-8")
    assert sorted(docs.listed(page)) == sorted([docs.GLOBAL, *docs.commands()])
    for verb in docs.commands():
        section = sections(PAGE, 2)[f"additive {verb}"]
        assert f"<!-- options: {verb} -->" in section
        assert f"$ additive {verb}" in section, f"docs/cli.md: additive {verb} has no example"


def test_option_lists_are_those_of_the_commands():
    page = PAGE.read_text(encoding="utf-8")
    assert page == docs.fill(page), "run `python -m tools.cli_page` and commit docs/cli.md"


def test_a_wrong_option_list_is_found():
    page = "<!-- options: verify -->\n`--fast`\n<!-- end -->"
    assert "--fast" not in docs.fill(page)
    with pytest.raises(KeyError):
        docs.fill(page.replace("verify", "conjure"))


def test_every_option_has_a_help_text():
    faults = [
        f"additive {verb} {parameter.name}"
        for verb, command in docs.commands().items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not faults, listing(faults)


def test_every_verb_is_explained_by_its_help():
    faults = [verb for verb, command in docs.commands().items() if not command.help]
    assert not faults, listing(faults)


def test_examples_use_verbs_and_options_that_exist():
    """Commands in the docs are parsed as click would parse them, without running any."""
    known = docs.commands()
    faults = []
    for page in pages():
        for block in blocks(page):
            for number, line in enumerate(block.text.splitlines(), block.line + 1):
                faults += [f"{block.page}:{number}: {fault}" for fault in _unknown(line, known)]
    assert not faults, listing(faults)


def _unknown(line, known):
    for command in re.findall(r"(?:^\$ |^|&& |; )additive ([^#;&|\n]*)", line):
        words = command.split()
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] == "-C" else words[1:]
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        if words[0] not in known:
            yield f"additive {words[0]} is no verb"
            continue
        options = {name for parameter in known[words[0]].params for name in parameter.opts}
        options |= {n for parameter in known[words[0]].params for n in parameter.secondary_opts}
        for word in words[1:]:
            if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options | {"--help", "-h"}:
                yield f"additive {words[0]} has no option {word}"


def test_every_spec_key_is_documented():
    from additive.spec.docs import MODELS, keys_of
    from additive.spec.docs import reference as generated

    text = SPECS.read_text(encoding="utf-8")
    faults = [
        f"{kind}: {key.dotted}"
        for kind in MODELS
        for key in keys_of(MODELS[kind])
        if f"`{key.dotted}`" not in text
    ]
    assert not faults, listing(faults)
    assert text == generated(), "run `make docs` and commit docs/specs.md"


def test_every_spec_key_is_known_to_the_reference():
    """Walks the models themselves, so that the reference cannot forget a key together with us."""
    from additive.spec.docs import MODELS

    text = SPECS.read_text(encoding="utf-8")
    faults = [
        f"{kind}: {name}"
        for kind in MODELS
        for name in sorted(_fields(MODELS[kind]))
        if name != "name" and not re.search(rf"`([\w.]+\.)?{name}`", text)
    ]
    assert not faults, listing(faults)


def _fields(model, seen=frozenset()):
    from typing import get_args

    from pydantic import BaseModel

    names = set()
    if model in seen:
        return names
    for name, field in model.model_fields.items():
        names.add(name)
        waiting = [field.annotation]
        while waiting:
            kind = waiting.pop()
            waiting += [part for part in get_args(kind) if part is not Ellipsis]
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names |= _fields(kind, seen | {model})
    return names


def test_every_merge_method_is_documented():
    from additive.merge.methods import METHODS

    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    faults = [name for name in METHODS.builtins if f"`{name}`" not in text]
    assert not faults, listing(faults)


def test_every_merge_method_is_on_the_page_of_its_family():
    """A page says what its methods assume, when they fail and what they cost."""
    from additive.merge.methods import METHODS

    family = sorted((ROOT / "docs" / "methods").glob("*.md"))
    faults = [
        f"{page.name} has no section {heading!r}"
        for page in family
        for heading in ("What it assumes", "When it fails", "Cost")
        if not sections(page, 2).get(heading, "").strip()
    ]
    rows = "".join(page.read_text(encoding="utf-8") for page in family)
    own = [name for name in METHODS.builtins if not name.startswith("mergekit/")]
    faults += [f"{name} is on no page" for name in own if f"\n| `{name}` | " not in rows]
    assert not faults, listing(faults)


def test_every_grader_is_documented():
    from additive.spec.suite import TaskSpec

    said = TaskSpec.model_fields["grader"].description or ""
    for name in ("numeric", "literal", "exact", "choice", "code", "refusal", "format"):
        assert name in said


def test_no_page_has_a_blank_that_was_never_filled_in():
    faults = [
        f"{page.relative_to(ROOT)}:{number}: {line.strip()}"
        for page in pages()
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"@[A-Z]+@|\bTBD\b|lorem ipsum", line)
    ]
    assert not faults, listing(faults)
