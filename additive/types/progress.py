"""What long work says while it runs.

The work calls a `Listener` with one `Progress` at a time; who listens (a terminal, a test, nobody)
is the caller's choice, so that no package below the command line prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """One thing to say: `topic` names its line ("train math"), `text` what that says now.

    `done` and `of` count what `unit` says, where they are known: steps of training, bytes, or
    things that the text names; `lasting` marks a line that stays when the next one comes.
    """

    topic: str
    text: str
    done: int | None = None
    of: int | None = None
    lasting: bool = False
    unit: Literal["", "step", "byte"] = ""


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A listener that drops everything.

    >>> silent(Progress("merge", "reading headers"))
    """


def under(topic: str, progress: Listener) -> Listener:
    """A listener that puts all it is told on the line of one topic."""
    return lambda event: progress(replace(event, topic=topic))
