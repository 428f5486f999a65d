"""Running `additive`: in this process for speed, or as a process of its own, as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def environment(threads: int = 1) -> dict[str, str]:
    """This environment with few threads, this checkout first, and no model hub unless asked."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
    }


def start(directory: Path, *arguments: str, threads: int = 1) -> subprocess.Popen[str]:
    """A running `additive` with a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "additive", *arguments],
        cwd=directory,
        env=environment(threads),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(directory: Path, *arguments: str, timeout_s: float = 600, threads: int = 1) -> Done:
    """`additive ARGUMENTS` in a directory, as a process."""
    process = start(directory, *arguments, threads=threads)
    out, err = process.communicate(timeout=timeout_s)
    return Done(process.returncode, out, err)


class Watched:
    """A running command whose stderr is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self.pid = process.pid

    def wait_for(self, text: str) -> None:
        """Read until a line has this text; fails when the command ends before."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            if text in line:
                return
        raise AssertionError(f"ended without {text!r}: {''.join(self._lines)}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def finish(self, timeout_s: float = 60) -> Done:
        """Wait for its end."""
        out, err = self._process.communicate(timeout=timeout_s)
        return Done(self._process.returncode, out, "".join(self._lines) + err)


@dataclass(frozen=True)
class Imported:
    """How a command ended, and the packages that it had imported by then."""

    done: Done
    imported: frozenset[str]


def run_importing(directory: Path, *arguments: str) -> Imported:
    """The command as a process that says at its end what it has imported."""
    program = (
        "import sys\n"
        "from additive.cli.main import run\n"
        f"code = run({list(arguments)!r})\n"
        "names = sorted({name.partition('.')[0] for name in sys.modules})\n"
        "print('imported', *names, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    return Imported(done, frozenset(ended.stderr.split("imported ")[-1].split()))


def run_here(capsys: pytest.CaptureFixture[str], directory: Path, *arguments: str) -> Done:
    """The same in this process, which has torch already."""
    from additive.cli.main import run as run_command

    capsys.readouterr()
    code = run_command(["-C", str(directory), *arguments])
    said = capsys.readouterr()
    return Done(code, said.out, said.err)
