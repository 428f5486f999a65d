"""Progress on stderr: one live line per topic on a terminal, plain lines elsewhere.

Lasting lines stay in both: above the live lines, and in the log. Plain output prints at most one
passing line of a topic every few seconds, so that a log of an hour's training stays readable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from additive.cli.invocation import Invocation
from additive.types.progress import Listener, Progress, silent
from additive.types.units import size_text

PLAIN_EVERY_S = 10.0


@contextmanager
def show_progress(invocation: Invocation) -> Iterator[Listener]:
    """A progress callback that shows work on stderr until the block ends.

    Nothing with --quiet; with --verbose every line is printed and kept, on a terminal too.
    """
    console = Console(stderr=True, no_color=not invocation.output.color, highlight=False)
    if invocation.quiet:
        yield silent
    elif console.is_terminal and not console.is_dumb_terminal and not invocation.verbose:
        with Live(console=console, refresh_per_second=8, transient=False) as live:
            yield _LiveLines(live)
    else:
        yield _PlainLines(console, 0.0 if invocation.verbose else PLAIN_EVERY_S)


class _LiveLines:
    """One line per topic, the newest; what lasts moves above them."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lines: dict[str, Progress] = {}

    def __call__(self, progress: Progress) -> None:
        self._lines.pop(progress.topic, None)
        if not progress.lasting:
            self._lines[progress.topic] = progress
        self._live.update(self._table())
        if progress.lasting:
            self._live.console.print(_line(progress), soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for line in self._lines.values():
            table.add_row(
                Text(line.topic, style="bold"),
                Text(count_text(line), justify="right"),
                Text(line.text, style="cyan"),
            )
        return table


class _PlainLines:
    """Lines for logs and pipes."""

    def __init__(self, console: Console, every_s: float) -> None:
        self._console = console
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        last = self._last.get(progress.topic)
        if not progress.lasting and last is not None and now - last < self._every_s:
            return
        self._last[progress.topic] = now
        self._console.print(_line(progress), soft_wrap=True)


def _line(progress: Progress) -> Text:
    count = count_text(progress)
    return Text(f"{progress.topic}{f' {count}' if count else ''}  {progress.text}")


def count_text(progress: Progress) -> str:
    """How far a work is, as people read it.

    >>> count_text(Progress("merge", "", 1_200_000_000, 14_500_000_000, unit="byte"))
    '1.2 GB of 14 GB, 8 %'
    >>> count_text(Progress("train math", "", 8, 600, unit="step")), count_text(Progress("a", ""))
    ('step 8/600', '')
    """
    if progress.done is None:
        return ""
    if progress.unit == "byte":
        done = size_text(progress.done)
        if not progress.of:
            return done
        return f"{done} of {size_text(progress.of)}, {100 * progress.done // progress.of} %"
    count = f"{progress.done}/{progress.of}" if progress.of else str(progress.done)
    return f"{progress.unit} {count}".lstrip()
