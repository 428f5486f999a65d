"""Everything that can go wrong, as one tree; each branch is an exit code.

    AdditiveError                      70  a bug of ours when raised bare
    ├── SpecError                       2  a file of the user says something we do not understand
    ├── UsageError                      2  a command line or call says it
    │   └── UnknownName                 2  with the nearest known names
    ├── RefusedError                    3  an input is not what it claims to be
    │   ├── IntegrityError              3  bytes changed, missing, not finite
    │   │   └── FormatError             3  frozen by an older additive
    │   ├── CompatibilityError          3  other base, template, vocabulary, shape, adapter kind
    │   ├── SecurityError               3  would run code, or leave its directory
    │   └── LeakError                   3  held-out items in training data
    ├── ResourceError                   4  memory, disk, I/O, network
    ├── LockedError                     5  another run holds it
    ├── DivergedError                   1  training diverged (NaN or Inf)
    └── Interrupted               130/143  stopped by the user; the same command goes on

A failed gate is a verdict, not an exception. A message reads `where: X is A; expected B`,
lower-case and without a final period; `help` is the line that mends it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

EXIT_OK = 0


EXIT_REFUSED_BY_GATE = 1


class AdditiveError(Exception):
    """An error with a place, a sentence and the way out."""

    exit_code = 70

    def __init__(self, message: str, *, where: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.help = help

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(AdditiveError):
    """A command line or a call asks for something that does not exist."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing answers to; says which known names are close.

    >>> str(UnknownName("method", "dare-ties", ["ties", "dare_ties"]))
    "unknown method 'dare-ties'; did you mean 'dare_ties'?"
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        *,
        where: str | None = None,
        help: str | None = None,
    ) -> None:
        names = sorted(set(known))
        listing = f"known: {', '.join(names)}" if names else f"there is no {kind} yet"
        super().__init__(
            f"unknown {kind} {name!r}{did_you_mean(name, names)}", where=where, help=help or listing
        )
        self.kind, self.name, self.known = kind, name, names


class SpecError(AdditiveError):
    """Faults of one file, each in the form `file:line:col: X is A; expected B`."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], *, help: str | None = None) -> None:
        super().__init__("\n".join(problems), help=help)
        self.problems = tuple(problems)


class RefusedError(AdditiveError):
    """An input that must not be used."""

    exit_code = 3


class IntegrityError(RefusedError):
    """Bytes that are not the ones that were frozen, or not finite numbers."""


class FormatError(IntegrityError):
    """An artifact that an older additive froze; `help` is the command that makes it again."""


class CompatibilityError(RefusedError):
    """Two inputs that do not belong together."""


class SecurityError(RefusedError):
    """An input that would run code or reach outside its directory."""


class LeakError(RefusedError):
    """Held-out items found in training data."""


class ResourceError(AdditiveError):
    """Memory, disk, I/O or network is not there."""

    exit_code = 4


class LockedError(AdditiveError):
    """Another run holds what this one needs."""

    exit_code = 5


class DivergedError(AdditiveError):
    """Training diverged: a loss or a weight is NaN or Inf."""

    exit_code = 1


class Interrupted(AdditiveError):
    """The user stopped the run; state is saved."""

    exit_code = 130


class Terminated(Interrupted):
    """The system stopped the run (SIGTERM); state is saved."""

    exit_code = 143


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'rank'?` for the closest known name, or nothing when none is close."""
    candidates = list(known)
    folded = {c.casefold().replace("-", "_"): c for c in candidates}
    exact = folded.get(name.casefold().replace("-", "_"))
    close = [exact] if exact else difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
