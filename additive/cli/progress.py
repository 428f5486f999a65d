"""Progress on stderr: one live line per topic on a terminal, plain lines elsewhere.

Plain output prints a topic's lasting lines and at most one passing line every few seconds, so that
a log of an hour's training stays readable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from additive.types.progress import Listener, Progress, silent

PLAIN_EVERY_S = 10.0


@contextmanager
def show_progress(*, quiet: bool, color: bool = True) -> Iterator[Listener]:
    """A listener that shows work on stderr until the block ends."""
    console = Console(stderr=True, no_color=not color, highlight=False)
    if quiet:
        yield silent
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, refresh_per_second=8, transient=False) as live:
            yield _LiveLines(live)
    else:
        yield _PlainLines(console)


class _LiveLines:
    """One line per topic; the newest text of each wins."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lines: dict[str, Progress] = {}

    def __call__(self, progress: Progress) -> None:
        self._lines[progress.topic] = progress
        self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for line in self._lines.values():
            count = f"{line.done}/{line.of}" if line.of else str(line.done or "")
            style = "" if line.lasting else "cyan"
            table.add_row(
                Text(line.topic, style="bold"),
                Text(count, justify="right"),
                Text(line.text, style=style),
            )
        return table


class _PlainLines:
    """Lines for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if (
            not progress.lasting
            and now - self._last.get(progress.topic, -PLAIN_EVERY_S) < PLAIN_EVERY_S
        ):
            return
        self._last[progress.topic] = now
        step = (
            f" {progress.done}{f'/{progress.of}' if progress.of else ''}"
            if progress.done is not None
            else ""
        )
        self._console.print(Text(f"{progress.topic}{step}  {progress.text}"), soft_wrap=True)
