"""YAML 1.2 and nothing that YAML could do to us."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from additive.errors import SpecError
from additive.spec.loader import load, loads
from additive.spec.workspace import WorkspaceSpec
from additive.spec.yaml import MAX_BYTES, MAX_DEPTH, parse_yaml, resolve_scalar, unplaced

GOOD = b"version: 1\nbase: {model: tiny}\n"


def values(text):
    return unplaced(parse_yaml(text, "f.yaml"))


def fault(text):
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "f.yaml")
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2e-4", 2e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("0777", 777),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("null", None),
        ("~", None),
        ("12:30:00", "12:30:00"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("inf", "inf"),
        ("-.inf", float("-inf")),
    ],
)
def test_scalars_are_read_as_yaml_1_2(written, read):
    found = values(f"a: {written}")["a"]
    assert found == read
    assert type(found) is type(read)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_writes_is_a_number(number):
    found = resolve_scalar(repr(number))
    assert found == number
    assert isinstance(found, float)


@settings(deadline=None)
@given(st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1))
def test_every_whole_number_is_one(number):
    assert resolve_scalar(str(number)) == number


@settings(deadline=None)
@given(st.text(string.printable, max_size=200))
def test_any_text_is_read_or_refused_with_a_place(text):
    problems: tuple[str, ...] = ()
    try:
        parse_yaml(text, "f.yaml")
    except SpecError as error:
        problems = error.problems
    assert [problem for problem in problems if not problem.startswith("f.yaml:")] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n\tb: 2", "f.yaml:2:1: indentation is a tab; expected spaces"),
        ("a: 1\na: 2", "f.yaml:2:1: key 'a' is written twice; the first is in line 1"),
        ("a\x00b: 1", "f.yaml:1:2: character is U+0000; expected printable text"),
        ("a: \x1b[31m", "f.yaml:1:4: character is U+001B; expected printable text"),
        ("a: [1", "f.yaml:1:6: YAML cannot be read: expected ',' or ']', but got '<stream end>'"),
        ("a: *b", "f.yaml:1:4: alias is *b when no finished value is named &b"),
        ("a: &a [*a]", "f.yaml:1:8: alias is *a when no finished value is named &a"),
        ("a: !!python/object:os.system x", "f.yaml:1:4: tag is tag:yaml.org,2002:python/"),
        ("a: !custom {b: 1}", "f.yaml:1:4: tag is !custom; expected no tag"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: file has a second document; expected one"),
        ("[1, 2]: a", "f.yaml:1:1: key is not text; expected text"),
        ("true: a", "f.yaml:1:1: key is not text; expected text"),
        ("[" * 5000, f"f.yaml:1:{MAX_DEPTH + 1}: nesting is deeper than {MAX_DEPTH} levels"),
        ("a: b: c", "f.yaml:1:5: YAML cannot be read: mapping values are not allowed"),
        ("%YAML 9.9\n---\na: 1", "f.yaml:1:1: YAML cannot be read"),
        ("a: 'x", "f.yaml:1:6: YAML cannot be read: found unexpected end of stream"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(text, said):
    found = fault(text)
    assert found.startswith(said)
    assert "\n" not in found


def test_two_faults_of_structure_come_together():
    with pytest.raises(SpecError) as caught:
        parse_yaml("a: 1\na: 2\nb: *x\nb: 3", "f.yaml")
    assert [problem.split(":")[1] for problem in caught.value.problems] == ["2", "3", "4"]


def test_a_bomb_is_refused_at_once():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, after in zip(string.ascii_lowercase, string.ascii_lowercase[1:9], strict=False):
        lines.append(f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]")
    start = time.process_time()
    assert "aliases grow the file beyond" in fault("\n".join(lines))
    assert time.process_time() - start < 5


def test_modest_aliases_are_fine():
    assert values("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    "data",
    [GOOD, b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"\n", b"\r\n"), b"# \xc3\xa9\n" + GOOD],
    ids=["plain", "BOM", "CRLF", "accents"],
)
def test_ways_to_save_a_file_do_not_matter(tmp_path, data):
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    assert load(path, WorkspaceSpec) == loads(GOOD.decode(), WorkspaceSpec)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (GOOD.decode().encode("utf-16"), "f.yaml:1:1: text is UTF-16; expected UTF-8"),
        (b"version: 1\n# caf\xe9\n", "f.yaml:2:6: text is byte 0xe9; expected UTF-8"),
        (b"#" * (MAX_BYTES + 1), "f.yaml: file has 262145 bytes; expected at most"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path, data, said):
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load(path, WorkspaceSpec, display_path="f.yaml")
    assert caught.value.problems[0].startswith(said)
