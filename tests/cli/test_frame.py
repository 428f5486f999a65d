"""What every verb has: global options, exit codes, errors, and a frame that loads nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from additive import __version__
from additive.cli.invocation import Invocation, global_options
from additive.cli.main import VERBS, Verb, cli, run

ROOT = Path(__file__).resolve().parents[2]
END = "import sys; from additive.cli.main import VERBS, Verb, run; " + (
    "VERBS['end'] = Verb('tests.cli.verbs:end', 'Look', 'end'); sys.exit(run(sys.argv[1:]))"
)


@pytest.fixture(autouse=True)
def _end(monkeypatch):
    monkeypatch.setitem(VERBS, "end", Verb("tests.cli.verbs:end", "Look", "end"))


def process(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-c", END, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=300,
        **how,
    )


def test_help_imports_nothing_but_click_and_the_frame():
    code = (
        "import sys; from additive.cli.main import run; run(['--help']);"
        "print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["torch", "transformers", "numpy", "pydantic", "ruamel", "rich", "huggingface_hub"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "additive init my-skills" in done.stdout


def test_help_shows_every_verb_with_its_line(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert name in out
        assert verb.summary in out


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_a_help_of_its_own(name, capsys):
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"additive {name}" in out
    assert "--debug" not in out, "global options stay out of a verb's help"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_takes_the_global_options(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    taken = {option for parameter in command.params for option in parameter.opts}
    assert taken >= {o for option in global_options(hidden=True) for o in option.opts}
    again = cli.get_command(click.Context(cli), name)
    assert again is not None
    assert len(again.params) == len(command.params)


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"additive, version {__version__}\n"


def test_no_verb_is_a_usage_error_that_shows_the_help(capsys):
    assert run([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: additive" in said.err
    assert said.err.endswith("error: no verb is given\nhelp: additive --help\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lsit"], "error: unknown verb 'lsit'; did you mean 'list'?\nhelp: additive --help\n"),
        (["frobnicate"], "error: unknown verb 'frobnicate'\nhelp: additive --help\n"),
        (["end", "say", "--rnak", "1"], "error: unknown option '--rnak'; did you mean '--rank'?"),
        (["--jsn", "end"], "error: unknown option '--jsn'; did you mean '--json'?"),
        (["end"], "error: missing argument 'HOW'"),
        (["end", "say", "--rank", "x"], "error: invalid value for '--rank'"),
        (["end", "say", "more"], "error: got unexpected extra argument (more)"),
        (
            ["check", "math", "--plan", "--results", "out"],
            "error: --results cannot be used with --plan",
        ),
    ],
)
def test_a_wrong_command_line_exits_2_with_the_mend(arguments, said, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert "\nhelp: additive" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("none", 0, ""),
        ("one", 1, ""),
        ("integrity", 3, "error: a.bin: bytes changed\nhelp: restore it\n"),
        ("locked", 5, "error: held by 17\n"),
        ("full", 4, "error: /some/file: no space left on device\n"),
        ("memory", 4, "error: out of memory: nothing was kept\nhelp: use a smaller batch"),
        ("bug", 70, "error: this is a bug in additive: KeyError: 'x' (verbs.py:"),
        ("interrupt", 130, "error: interrupted\nhelp: run the same command again: it continues\n"),
        ("signal", 143, "error: terminated\nhelp: run the same command again: it continues\n"),
        ("hostile", 3, "error: name is \ufffd[31mred\ufffd\nerror: and more\n"),
    ],
)
def test_every_end_has_its_exit_code_and_words(how, code, said, capsys):
    assert run(["end", how]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.lstrip("\n").startswith(said)
    assert "Traceback" not in err


def test_debug_shows_where_it_happened(capsys):
    assert run(["end", "bug", "--debug"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--json", "end", "integrity"], ["end", "--json", "integrity"]]
)
def test_with_json_an_error_is_a_document_too(arguments, capsys):
    assert run(arguments) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": "additive.error/1",
        "kind": "IntegrityError",
        "exit_code": 3,
        "problems": ["a.bin: bytes changed"],
        "help": "restore it",
    }
    assert err == "error: a.bin: bytes changed\nhelp: restore it\n"


def test_json_after_two_dashes_is_an_argument(capsys):
    assert run(["end", "say", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "-q", "end", "say", "--rank", "3"],
        ["end", "--json", "-q", "say", "--rank", "3"],
        ["-q", "end", "say", "--rank", "3", "--json"],
    ],
)
def test_global_options_stand_before_or_after_the_verb(arguments, capsys):
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": "test/1", "rank": 3}
    assert err == ""


def test_results_and_progress_go_to_their_own_streams(capsys):
    assert run(["end", "say"]) == 0
    assert capsys.readouterr() == ("rank None\n", "said\n")
    assert run(["end", "say", "-q"]) == 0
    assert capsys.readouterr() == ("rank None\n", "")


def test_a_directory_is_taken_from_here_and_then_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []

    @click.command()
    @click.pass_obj
    def where(invocation: Invocation) -> None:
        seen.append(invocation.directory)

    monkeypatch.setattr("tests.cli.verbs.end", where)
    assert run(["-C", "a", "end", "-C", "b"]) == 0
    assert seen == [tmp_path / "a" / "b"]


def test_a_reader_that_goes_away_is_no_error():
    """`additive … | head -1`: the verb ends by itself, with its own exit code."""
    command = f'{sys.executable} -c "{END}" end print | head -1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=True, timeout=300
    )
    assert done.stdout.splitlines() == ["line 0", "0"]
    assert done.stderr == ""


@pytest.mark.parametrize("language", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_a_terminal_without_utf_8_is_survived(language):
    environment = {**os.environ, "LC_ALL": language, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = process("end", "hostile", env=environment)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
