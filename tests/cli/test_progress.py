"""What lasts stays to be read, on a terminal too; what passes is one line with its count once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from additive.cli.invocation import Invocation
from additive.cli.progress import _LiveLines, count_text, show_progress
from additive.types.progress import Progress

STEPS = [Progress("train math", f"validation 0.{n}", n, 9, unit="step") for n in range(1, 9)]


def test_a_terminal_keeps_what_lasts_above_the_live_lines():
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with Live(console=console, auto_refresh=False) as live:
        progress = _LiveLines(live)
        progress(Progress("train math", "end-of-turn is trained", lasting=True))
        for step in STEPS:
            progress(step)
        assert "validation 0.8" in shown(live)
        assert "validation 0.7" not in shown(live)
        progress(Progress("train code", "waiting"))
        progress(Progress("train math", "frozen", lasting=True))
        assert "validation" not in shown(live)
        assert "waiting" in shown(live)
    written = console.file.getvalue()
    assert written.index("end-of-turn is trained") < written.index("train math  frozen")


def shown(live: Live) -> str:
    console = Console(file=io.StringIO(), width=60)
    console.print(live.renderable)
    return console.file.getvalue()


def test_a_log_has_what_lasts_and_few_of_the_rest(capsys):
    with show_progress(Invocation(Path.cwd())) as progress:
        progress(Progress("train math", "on the CPU", lasting=True))
        progress(Progress("train code", "on the CPU", lasting=True))
        for step in STEPS:
            progress(step)
        progress(Progress("train math", "frozen", lasting=True))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["train math  on the CPU", "train code  on the CPU", "train math  frozen"]


def test_a_verbose_log_has_every_line(capsys):
    with show_progress(Invocation(Path.cwd(), verbose=True)) as progress:
        for step in STEPS:
            progress(step)
    assert len(capsys.readouterr().err.splitlines()) == len(STEPS)


def test_a_passing_line_of_a_log_says_its_step_once(capsys):
    with show_progress(Invocation(Path.cwd())) as progress:
        progress(STEPS[0])
    assert capsys.readouterr().err == "train math step 1/9  validation 0.1\n"


@pytest.mark.parametrize(
    ("done", "of", "text"),
    [
        (655_360, 7_214_592, "655 kB of 7.2 MB, 9 %"),
        (14_499_999_999, 14_500_000_000, "14 GB of 14 GB, 99 %"),
        (3_000_000, None, "3.0 MB"),
        (None, None, ""),
    ],
)
def test_bytes_are_read_as_sizes(done, of, text):
    assert count_text(Progress("merge", "", done, of, unit="byte")) == text


def test_other_counts_are_plain():
    assert count_text(Progress("math", "answered", 24, 24)) == "24/24"
