"""The table of a check: as rows, as plain text that fits its width, and for a rich terminal.

    suite            role    items   base  special-  merged  difference              reten- verdict
                                                ist          [90 % interval]           tion
    math-new-values  target   1000  0.124     0.951   0.940  -0.011 [-0.021, -0.001]   0.99  pass

The roomiest layout that fits is taken, folded only as much as the width asks for; nothing is ever
cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from additive.report.document import Check, SuiteVerdict
from additive.report.text import fraction, interval, one_line, signed

if TYPE_CHECKING:
    from rich.table import Table


MIN_WIDTH = 80


STYLES = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}


MIN_SUITE = 16


Lines = tuple[str, ...]


Cells = list[Lines]


class TableRow(NamedTuple):
    """One suite as printed text."""

    suite: str
    role: str
    items: str
    base: str
    specialist: str
    merged: str
    difference: str
    interval: str
    retention: str
    verdict: str


HEADER = TableRow(
    "suite",
    "role",
    "items",
    "base",
    "specialist",
    "merged",
    "difference",
    "[90 % interval]",
    "retention",
    "verdict",
)


_FOLDED = {"specialist": ("special-", "ist"), "retention": ("reten-", "tion")}


_RIGHT = frozenset({2, 3, 4, 5, 7})


def rows(check: Check) -> tuple[TableRow, ...]:
    """One row of text per suite, in the document's order."""
    return tuple(map(_row, check.suites))


def _row(line: SuiteVerdict) -> TableRow:
    return TableRow(
        suite=one_line(line.suite),
        role=_role(line),
        items=str(line.n),
        base=fraction(line.base),
        specialist=fraction(line.specialist),
        merged=fraction(line.merged),
        difference=signed(line.difference),
        interval=interval(line.interval),
        retention=fraction(line.retention, 2),
        verdict=line.verdict,
    )


def _role(line: SuiteVerdict) -> str:
    """The role; "no gain" for a target that is compared with the base for want of a gain."""
    unresolved = line.role == "target" and line.specialist is not None and line.retention is None
    return "no gain" if unresolved and line.base is not None else line.role


def plain_table(check: Check, width: int = 100) -> str:
    """The table as text of at most `width` columns (80 at least), ending in a line feed.

    Scores are fractions of items, the difference is merged − reference with its 90 % interval.
    """
    layout = _fit(rows(check), max(width, MIN_WIDTH))
    widths = _widths([layout.header, *layout.body])
    rule = [("-" * width,) for width in widths]
    lines = [layout.header, rule, *layout.body]
    return "".join(_line(cells, widths, layout.gap) for cells in lines)


def rich_table(check: Check, width: int = 100) -> Table:
    """The same layout for a terminal of `width` columns, verdicts coloured.

    Cells are plain text, so names cannot smuggle in markup.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    body = rows(check)
    layout = _fit(body, max(width, MIN_WIDTH))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, layout.gap - 1, 0, 0))
    for i, name in enumerate(layout.header):
        side = "right" if i in _RIGHT else "left"
        table.add_column("\n".join(name), justify=side, no_wrap=True)
    for row, cells in zip(body, layout.body, strict=True):
        *texts, verdict = map("\n".join, cells)
        table.add_row(*map(Text, texts), Text(verdict, style=STYLES[row.verdict]))
    return table


class _Layout(NamedTuple):
    header: Cells
    body: list[Cells]
    gap: int


def _fit(body: Sequence[TableRow], room: int) -> _Layout:
    """The roomiest layout that fits: one line, folded heading, folded names, folded all."""
    single = [_unfolded(row) for row in body]
    stacked = [_stacked(row) for row in body]
    roomy = [
        _Layout(_unfolded(HEADER), single, 2),
        _Layout(_stacked(HEADER), single, 2),
        _Layout(_stacked(HEADER), single, 1),
        _wrapped(single, room),
    ]
    fitting = (layout for layout in roomy if _width(layout) <= room)
    return next(fitting, _wrapped(stacked, room))


def _wrapped(body: Sequence[Cells], room: int) -> _Layout:
    header = _stacked(HEADER)
    verdicts = [[*cells[:-1], tuple(cells[-1][0].split())] for cells in body]
    rest = _width(_Layout(header[1:], [cells[1:] for cells in verdicts], 1))
    suite = room - rest - 1
    if suite < MIN_SUITE and body and len(body[0][6]) == 1:
        suite = max(len(cells[0][0]) for cells in body)
    folded = [[_wrap(cells[0][0], max(suite, 8)), *cells[1:]] for cells in verdicts]
    return _Layout(header, folded, 1)


def _unfolded(row: TableRow) -> Cells:
    difference = f"{row.difference} {row.interval}" if row.interval != "-" else row.difference
    return [(cell,) for cell in (*row[:6], difference, *row[8:])]


def _stacked(row: TableRow) -> Cells:
    cells = [_FOLDED.get(cell, (cell,)) for cell in (*row[:6], row.difference, *row[8:])]
    cells[6] = (row.difference, row.interval) if row.interval != "-" else (row.difference,)
    return cells


def _wrap(name: str, width: int) -> Lines:
    """A name broken behind `-`, `_`, `/`, `+`, space, or else anywhere, at most `width` wide."""
    lines = [""]
    for piece in re.findall(r"[^-_/+ ]*[-_/+ ]?", name):
        if len(lines[-1] + piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return tuple(line for line in lines if line)


def _widths(table: Iterable[Cells]) -> list[int]:
    return [
        max(len(line) for cell in column for line in cell) for column in zip(*table, strict=True)
    ]


def _width(layout: _Layout) -> int:
    widths = _widths([layout.header, *layout.body])
    return sum(widths) + layout.gap * (len(widths) - 1)


def _line(cells: Cells, widths: Sequence[int], gap: int) -> str:
    height = max(map(len, cells))
    out = ""
    for i in range(height):
        parts = [cell[i] if i < len(cell) else "" for cell in cells]
        padded = [
            part.rjust(width) if column in _RIGHT else part.ljust(width)
            for column, (part, width) in enumerate(zip(parts, widths, strict=True))
        ]
        out += (" " * gap).join(padded).rstrip() + "\n"
    return out
