"""What long work says while it runs.

The work calls a `Listener` with one `Progress` at a time; who listens (a terminal, a test, nobody)
is the caller's choice, so that no package below the command line prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One thing to say: `topic` names its line ("train math"), `text` what that says now.

    `done` and `of` count steps, where they are known; `lasting` marks a line that stays when the
    next one comes.
    """

    topic: str
    text: str
    done: int | None = None
    of: int | None = None
    lasting: bool = False


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that drops everything.

    >>> silent(Progress("merge", "reading headers"))
    """
