"""Types of the grading, and which part of a text is the answer.

Models that think write their thoughts before the answer (`<think>…</think>`, `<reasoning>…`,
`[THINK]…`, gpt-oss channels). `final_answer` leaves them out, so that every grader and verifier
sees the answer alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Grade:
    """What an answer is worth.

    score      in [0, 1]; without meaning where `unscored` is given
    parseable  whether an answer was found in the text
    extracted  what was found
    unscored   why there is no score, for causes that are not the answer's: a verifier that raised,
               a sandbox that did not start; None where there is a score
    """

    score: float
    parseable: bool
    extracted: str = ""
    unscored: str | None = None


@dataclass(frozen=True)
class Program:
    """Code that a model wrote, and the test statements that it has to pass.

    code     without the item's setup
    tests    statements
    entry    the function under test, if the item says which
    setup    the item's own code, which stands before the model's and before the tests
    mutates  whether the tests look at arguments that a call changed and returned a value for
    """

    code: str
    tests: tuple[str, ...]
    entry: str | None = None
    setup: str = ""
    mutates: bool = False


@dataclass(frozen=True)
class Fault:
    """Why an answer has no score, for a cause that is not the answer's."""

    reason: str


RunPrograms = Callable[[Sequence[Program]], Sequence[bool | Fault]]


_THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
_CHANNEL = re.compile(
    r"(?:<\|channel\|>\s*)?final\s*<\|message\|>|\Aanalysis.*?assistantfinal", re.DOTALL
)
_WRAPPED = re.compile(r"\s*<(answer|solution)>(.*?)(?:</\1>\s*)?\Z", re.DOTALL | re.IGNORECASE)


THOUGHT_MARKS = frozenset(mark for pair in _THOUGHTS for mark in pair)


def opened_thought(prompt: str) -> str:
    """The mark of a thought that a rendered prompt ends with; empty where it opens none.

    Put before the answer it shows `final_answer` whether the thought ever ends.

    >>> opened_thought("<|assistant|>\\n<think>\\n"), opened_thought("<|assistant|>")
    ('<think>', '')
    """
    end = prompt.rstrip()
    return next((mark for mark, _ in _THOUGHTS if end.endswith(mark)), "")


def final_answer(text: str) -> str | None:
    """The answer of a text, without the thoughts before it; None where the thoughts never end.

    What precedes the last closing mark of a thought is no part of the answer, whether the opening
    mark is in the text or was written by the chat template. `<answer>…</answer>` around the whole
    rest is taken off.

    >>> final_answer("<think>2+2</think>\\n\\n4"), final_answer("<think>2+2")
    ('4', None)
    """
    channels = list(_CHANNEL.finditer(text))
    if channels:
        text = text[channels[-1].end() :]
    folded = text.casefold()
    ends = [
        folded.rfind(end.casefold()) + len(end) for _, end in _THOUGHTS if end.casefold() in folded
    ]
    rest = text[max(ends, default=0) :]
    start = rest.lstrip().casefold()
    if any(start.startswith(mark.casefold()) for mark, _ in _THOUGHTS):
        return None
    match = _WRAPPED.fullmatch(rest)
    return (match[2] if match else rest).lstrip() if ends or match else rest


@dataclass(frozen=True)
class Verifier:
    """A user's grader: a Python module with `verify(item, answer)`, which gives a truth value or a
    number in [0, 1]. `source` is its text; `digest` is its version."""

    source: str
    digest: str


RunVerifier = Callable[[Verifier, Sequence[tuple[Item, str]]], Sequence[float | Fault]]
