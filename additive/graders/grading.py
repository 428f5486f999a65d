"""Grading many answers at once: what is quick here, code and symbols each in one batch.

    grades = grade_all([GradingRequest("numeric", {"id": "1", "answer": 42}, "6*7=42")])

What is graded is the answer without the thoughts before it (`grade.final_answer`); an answer whose
thoughts never end is wrong and not parseable. The kind is one of KINDS, or the name of a verifier
that is given (a user's own grader). The same graders serve curation, training and evaluation;
`version_of` belongs into whatever is cached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from additive.errors import UnknownName, UsageError
from additive.graders import code, literal, numeric, refusal, symbolic, text
from additive.graders.grade import (
    Fault,
    Grade,
    Item,
    Program,
    RunPrograms,
    RunVerifier,
    Verifier,
    final_answer,
)

_QUICK = {
    "literal": literal.grade_literal,
    "exact": text.grade_exact,
    "choice": text.grade_choice,
    "refusal": refusal.grade_refusal,
    "format": text.grade_format,
}


_VERSIONS = {
    "numeric": numeric.VERSION,
    "literal": literal.VERSION,
    "exact": text.EXACT_VERSION,
    "choice": text.CHOICE_VERSION,
    "code": code.VERSION,
    "refusal": refusal.VERSION,
    "format": text.FORMAT_VERSION,
}


KINDS = tuple(_VERSIONS)


@dataclass(frozen=True)
class GradingRequest:
    """An answer to an item, and how it is to be graded."""

    kind: str
    item: Item
    answer: str


@dataclass(frozen=True)
class Runners:
    """Who runs code for the graders, and the users' own graders by name."""

    programs: RunPrograms | None = None
    verifier: RunVerifier | None = None
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)


def grade(kind: str, item: Item, answer: str, run_code: RunPrograms | None = None) -> Grade:
    """The grade of one answer.

    Args: run_code runs programs for the `code` grader.
    Raises: UnknownName for a kind that does not exist; IntegrityError when the item lacks what its
    grader needs; UsageError when code has to run and nobody can.

    >>> grade("numeric", {"id": "1", "answer": 42}, "6*7=42").score
    1.0
    """
    return grade_all([GradingRequest(kind, item, answer)], Runners(run_code))[0]


def grade_all(asked: Sequence[GradingRequest], runners: Runners | None = None) -> list[Grade]:
    """The grades, in order.

    Raises: as `grade`.
    """
    runners = runners or Runners()
    grades: dict[int, Grade] = {}
    symbols: dict[int, tuple[str, str]] = {}
    to_run: dict[int, Program] = {}
    answers = [final_answer(one.answer) for one in asked]
    asked = [replace(one, answer=final or "") for one, final in zip(asked, answers, strict=True)]
    for place, one in enumerate(asked):
        found = Grade(0.0, False) if answers[place] is None else _quick(one, runners)
        if isinstance(found, Grade):
            grades[place] = found
        elif isinstance(found, Program):
            to_run[place] = found
        elif found is not None:
            symbols[place] = found
    grades |= _symbolic(symbols) | _run(to_run, runners) | _verified(asked, runners)
    return [grades[place] for place in range(len(asked))]


def version_of(kind: str, verifiers: Mapping[str, Verifier] | None = None) -> str:
    """The version of a grader: it changes when the same answer may get another grade.

    >>> version_of("numeric")
    'numeric/2'
    """
    verifier = (verifiers or {}).get(kind)
    if verifier is not None:
        return f"verifier/{verifier.digest}"
    if kind not in _VERSIONS:
        raise UnknownName("grader", kind, [*KINDS, *(verifiers or {})])
    return _VERSIONS[kind]


def _quick(one: GradingRequest, runners: Runners) -> Grade | Program | tuple[str, str] | None:
    """A grade, or what has to be asked elsewhere; None for a user's verifier."""
    if one.kind in runners.verifiers:
        return None
    if one.kind == "numeric":
        return numeric.grade_numeric(one.item, one.answer)
    if one.kind == "code":
        return code.program(one.item, one.answer) or Grade(0.0, False)
    if one.kind not in _QUICK:
        raise UnknownName("grader", one.kind, [*KINDS, *runners.verifiers])
    return _QUICK[one.kind](one.item, one.answer)


def _symbolic(pairs: Mapping[int, tuple[str, str]]) -> dict[int, Grade]:
    if not pairs:
        return {}
    answers = symbolic.equal_many([*pairs.values()])
    return {
        place: Grade(float(found.equal), found.readable, given)
        for (place, (_, given)), found in zip(pairs.items(), answers, strict=True)
    }


def _run(to_run: Mapping[int, Program], runners: Runners) -> dict[int, Grade]:
    if not to_run:
        return {}
    if runners.programs is None:
        raise UsageError(
            "grader 'code' needs a program runner; none was passed",
            help="pass run_code, for instance additive.sandbox's",
        )
    results = runners.programs([*to_run.values()])
    return {
        place: _grade(result, True, program.code)
        for (place, program), result in zip(to_run.items(), results, strict=True)
    }


def _grade(result: float | Fault, parseable: bool, extracted: str) -> Grade:
    if isinstance(result, Fault):
        return Grade(0.0, parseable, extracted, result.reason)
    return Grade(float(result), parseable, extracted)


def _verified(asked: Sequence[GradingRequest], runners: Runners) -> dict[int, Grade]:
    grades: dict[int, Grade] = {}
    for name, verifier in runners.verifiers.items():
        places = [place for place, one in enumerate(asked) if one.kind == name]
        if not places:
            continue
        if runners.verifier is None:
            raise UsageError(f"the verifier {name} needs a runner; none was passed")
        rows = [(asked[place].item, asked[place].answer) for place in places]
        for place, result in zip(places, runners.verifier(verifier, rows), strict=True):
            grades[place] = _grade(result, True, asked[place].answer.strip())
    return grades
