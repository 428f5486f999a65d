"""Answers to scores: graders from `graders`, code and users' verifiers held by `sandbox`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.errors import IntegrityError, SpecError
from additive.evaluate.items import Item
from additive.evaluate.tasks import picked
from additive.graders import (
    Fault,
    Grade,
    GradingRequest,
    Program,
    Runners,
    Verifier,
    grade_all,
    version_of,
)
from additive.sandbox import (
    CallError,
    Calls,
    Job,
    Limits,
    SandboxLevel,
    call_many,
    run_many,
    strongest_level,
)
from additive.types.digests import digest_bytes
from additive.types.results import ItemScore

_ENTRY = "verify"


def find_verifiers(items: Sequence[Item], directory: Path) -> dict[str, Verifier]:
    """The users' graders that the items name: Python files beside the suite.

    Raises: SpecError when there is no such file.
    """
    names = dict.fromkeys(item.grader for item in items if item.grader.endswith(".py"))
    return {name: _verifier(name, directory) for name in names}


def grader_versions(items: Sequence[Item], verifiers: Mapping[str, Verifier]) -> dict[str, str]:
    """Grader -> version, for all that the items use.

    Raises: UnknownName for a grader that does not exist.
    """
    names = dict.fromkeys(item.grader for item in items if item.task.kind != "cloze")
    return {name: version_of(name, verifiers) for name in sorted(names)}


def needed_level(items: Sequence[Item], verifiers: Mapping[str, Verifier]) -> SandboxLevel | None:
    """What will hold the code that these items' graders run; None when there is none.

    Raises: SecurityError when code has to run and nothing can hold it.
    """
    runs = verifiers or any(item.grader == "code" for item in items)
    return strongest_level() if runs else None


def scores(
    items: Sequence[Item],
    samples: Sequence[Mapping[str, Any]],
    verifiers: Mapping[str, Verifier],
    level: SandboxLevel | None,
) -> list[ItemScore]:
    """The scores of items from lm-eval's logged samples of them, in the order of the items."""
    answers = [_answer(item, sample) for item, sample in zip(items, samples, strict=True)]
    places = [place for place, item in enumerate(items) if item.task.kind != "cloze"]
    asked = [GradingRequest(items[p].grader, items[p].fields, answers[p]) for p in places]
    grades = dict(zip(places, grade_all(asked, runners(verifiers, level)), strict=True))
    found = []
    for place, (item, sample) in enumerate(zip(items, samples, strict=True)):
        grade = grades.get(place)
        found.append(
            ItemScore(
                id=item.id,
                prompt_sha256=str(sample["prompt_hash"]),
                score=_item_score(grade, sample),
                answer=answers[place],
                parseable=grade.parseable if grade else True,
                cluster=item.cluster,
                unscored=grade.unscored if grade else None,
            )
        )
    return found


def runners(verifiers: Mapping[str, Verifier], level: SandboxLevel | None) -> Runners:
    """Graders' code run by the sandbox on one level."""

    def programs(wanted: Sequence[Program]) -> list[bool | Fault]:
        jobs = [Job(p.code, p.tests, p.entry, p.setup, p.mutates) for p in wanted]
        outcomes = run_many(jobs, Limits(), level)
        return [Fault(one.reason) if one.broken else one.passed for one in outcomes]

    def verifier(used: Verifier, rows: Sequence[tuple[Any, str]]) -> list[float | Fault]:
        calls = Calls(used.source, _ENTRY, [[dict(item), answer] for item, answer in rows])
        return [_score(value) for value in call_many(calls, level=level)]

    return Runners(programs, verifier, verifiers)


def _item_score(grade: Grade | None, sample: Mapping[str, Any]) -> float | None:
    if grade is None:
        return float(sample["acc"])
    return None if grade.unscored else grade.score


def _answer(item: Item, sample: Mapping[str, Any]) -> str:
    if item.task.kind != "cloze":
        return str(sample["filtered_resps"][0])
    likelihoods = [float(likelihood) for likelihood, _ in sample["filtered_resps"]]
    choices = [str(choice) for choice in item.fields["choices"]]
    return choices[picked(likelihoods, choices if item.task.normalize == "bytes" else ())]


def _verifier(name: str, directory: Path) -> Verifier:
    path = directory / name
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            [f"{path}: grader is {name!r}; expected a Python file with verify ({error})"]
        ) from None
    return Verifier(source, digest_bytes(source.encode()))


def _score(value: Any) -> float | Fault:
    """What a verifier returned, as a score; a fault when it raised or ran too long."""
    if isinstance(value, CallError):
        return Fault(f"verify: {value.reason}")
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        raise IntegrityError(
            f"verify returned {value!r:.60}; expected a truth value or a number in [0, 1]"
        )
    return float(value)
