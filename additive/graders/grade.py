"""Types of the grading: a grade, a program to be run, and who runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Grade:
    """What an answer is worth.

    `score` is in [0, 1]; `parseable` is whether an answer was found in the text at all; `extracted`
    is what was found.
    """

    score: float
    parseable: bool
    extracted: str = ""


@dataclass(frozen=True)
class Program:
    """Code that a model wrote, and the test statements that it has to pass.

    `entry` names the function under test, if the item says which.
    """

    code: str
    tests: tuple[str, ...]
    entry: str | None = None


RunPrograms = Callable[[Sequence[Program]], Sequence[bool]]


@dataclass(frozen=True)
class Verifier:
    """A user's grader: a Python module with `verify(item, answer)`, which gives a truth value or a
    number in [0, 1]. `source` is its text; `digest` is its version."""

    source: str
    digest: str


RunVerifier = Callable[[Verifier, Sequence[tuple[Item, str]]], Sequence[float | None]]
