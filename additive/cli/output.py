"""What a verb says: the result on stdout, everything else on stderr.

On a terminal tables are drawn by rich; in a pipe they are aligned text without a single escape;
with --json stdout holds one JSON document and nothing else. Strings from outside pass through
`clean`.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """A foreign string on one line, without control, direction or invisible characters.

    >>> clean("a\\x1b[31mb\\nc")
    'a\ufffd[31mb c'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character in "\t\n\r":
        return " "
    return "\ufffd" if unicodedata.category(character) in _INVISIBLE else character


class Output:
    """Where a verb prints.

    Example:
        output.say("reading 3 domains")                                   # stderr, unless --quiet
        output.result({"schema": "additive.list/1", "rows": rows}, table)  # stdout
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: bool = True) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.color = color

    @property
    def rich_stdout(self) -> bool:
        """Whether results may be drawn with colour and lines."""
        return self.color and not self.as_json and sys.stdout.isatty()

    def result(self, document: Mapping[str, Any], text: str = "") -> None:
        """Print the result: the document (it has a `schema`) with --json, else the text."""
        self.print(json.dumps(document, indent=2, allow_nan=False) if self.as_json else text)

    def print(self, text: str) -> None:
        """Print lines of a result; a reader that has gone away is no error."""
        if text:
            _write(sys.stdout, text)

    def say(self, line: str) -> None:
        """Print a line of progress, unless --quiet."""
        if not self.quiet:
            _write(sys.stderr, line)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
        """A table as text: drawn on a terminal, aligned columns elsewhere."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.rich_stdout:
            return _drawn(columns, cells, title)
        return "\n".join([*([title] if title else []), *aligned(columns, cells)])


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns under their names; numbers range right, the rest left.

    >>> aligned(["suite", "n"], [["math", "1000"], ["code-new-values", "7"]])
    ['suite               n', 'math             1000', 'code-new-values     7']
    """
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(width(line[at]) for line in lines) for at in range(len(columns))]
    right = [bool(rows) and all(_is_number(row[at]) for row in rows) for at in range(len(columns))]
    return [
        "  ".join(_padded(cell, widths[at], right[at]) for at, cell in enumerate(line)).rstrip()
        for line in lines
    ]


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def _padded(cell: str, columns: int, right: bool) -> str:
    gap = " " * (columns - width(cell))
    return gap + cell if right else cell + gap


def _is_number(cell: str) -> bool:
    return cell in ("", "–", "-") or cell.lstrip("+-−±").replace(".", "").replace(",", "").isdigit()


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for at, name in enumerate(columns):
        right = bool(rows) and all(_is_number(row[at]) for row in rows)
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(file=sys.stdout)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
