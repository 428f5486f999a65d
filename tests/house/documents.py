"""Markdown as the docs tests see it: fenced blocks, headings, links, and the script a page makes.

The info string of a fence says what a block is for; GitHub highlights by its first word only:

    ```console run          lines behind `$ ` are executed, the rest is output that a reader sees
    ```bash run             every line is executed
    ```bash run slow        executed by `make soak` alone
    ```bash run exit=1      its command has to end with this exit code
    ```yaml file=evals/logic.yaml     written to this file before what follows is executed

All blocks of a page run in one shell, in an empty directory, in the page's order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_SHELLS = ("bash", "console", "sh")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, `line` being that of its fence."""

    page: str
    line: int
    info: tuple[str, ...]
    text: str

    @property
    def runs(self) -> bool:
        return bool(self.info) and self.info[0] in _SHELLS and "run" in self.info[1:]

    @property
    def slow(self) -> bool:
        return "slow" in self.info

    @property
    def file(self) -> str | None:
        return self._said("file")

    @property
    def exit(self) -> str | None:
        return self._said("exit")

    def _said(self, key: str) -> str | None:
        named = [word.removeprefix(f"{key}=") for word in self.info if word.startswith(f"{key}=")]
        return named[0] if named else None


def pages() -> list[Path]:
    """README, the other pages of the root, and everything under docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, without the indentation of their fence."""
    found: list[Block] = []
    opened: tuple[int, re.Match[str]] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if opened is None:
            if match:
                opened, lines = (number, match), []
        elif line.strip() == opened[1]["fence"]:
            info = tuple(opened[1]["info"].split())
            name = str(page.relative_to(ROOT))
            found.append(Block(name, opened[0], info, "\n".join(lines) + "\n"))
            opened = None
        else:
            lines.append(line.removeprefix(opened[1]["indent"]))
    assert opened is None, f"{page}:{opened[0] if opened else 0}: this fence is never closed"
    return found


def commands(block: Block) -> str:
    """What of a block a shell executes."""
    if block.info[0] != "console":
        return block.text
    kept, goes_on = [], False
    for line in block.text.splitlines():
        if line.startswith("$ ") or goes_on:
            kept.append(line.removeprefix("$ ").removeprefix("> "))
            goes_on = line.endswith("\\")
    return "\n".join(kept) + "\n"


def script(page: Path, *, slow: bool) -> str:
    """The shell script that a page makes; empty when nothing of it is to be run."""
    chosen = [b for b in blocks(page) if (b.runs and (slow or not b.slow)) or b.file]
    if not any(block.runs for block in chosen):
        return ""
    parts = ["set -euo pipefail"]
    for block in chosen:
        parts.append(f"echo '### {block.page}:{block.line}' >&2")
        parts.append(_write(block) if block.file else steps(block))
    return "\n".join(parts)


def steps(block: Block) -> str:
    """What a script does for a block: its commands, and its last one has to end as it says."""
    if block.exit is None:
        return commands(block)
    return f"code=0\n{commands(block).rstrip()} || code=$?\ntest $code -eq {block.exit}"


def _write(block: Block) -> str:
    path = shlex.quote(str(block.file))
    return f"mkdir -p $(dirname {path})\ncat > {path} <<'END-OF-FILE'\n{block.text}END-OF-FILE"


def execute(text: str, directory: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a script with this environment's `additive` first on the path and no model hub."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-c", text],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def links(page: Path) -> list[tuple[int, str]]:
    """(line, target) of every link to a file; addresses and anchors are left out."""
    return [
        (number, match["target"].partition("#")[0])
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        for match in _LINK.finditer(line)
        if not re.match(r"[a-z]+:|#", match["target"])
    ]


def sections(page: Path, level: int) -> dict[str, str]:
    """Heading -> text below it, for the headings of one level that are outside fences."""
    found: dict[str, list[str]] = {}
    fenced, name = False, None
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= bool(_FENCE.match(line))
        heading = re.match(r"(#+) (.*)", line) if not fenced else None
        if heading and len(heading[1]) <= level:
            name = heading[2].strip("` ") if len(heading[1]) == level else None
            if name:
                found[name] = []
        elif name:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}
