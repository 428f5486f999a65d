"""Whether the items of a suite are what its graders need, before a model is asked anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from additive.spec.faults import shown
from additive.spec.rows import Row
from additive.spec.suite import SuiteSpec, TaskSpec

MAX_FAULTS = 20


def item_faults(rows: Sequence[Row], suite: SuiteSpec, task: TaskSpec, name: str) -> list[str]:
    """The first twenty faults of a task's items, as `file:line: X is A when it should be B`."""
    faults: list[str] = []
    seen: dict[str, int] = {}
    for row in rows:
        found = [*_identity(row, seen), *_wants(row.fields, suite, task)]
        faults += [f"{name}:{row.line}: {fault}" for fault in found]
        if len(faults) >= MAX_FAULTS:
            return faults[:MAX_FAULTS]
    return faults


def _identity(row: Row, seen: dict[str, int]) -> Iterator[str]:
    identity = row.fields.get("id")
    if not isinstance(identity, str) or not identity:
        yield _should("id", row.fields, "text")
    elif identity in seen:
        yield f"id is {identity!r}, which line {seen[identity]} has already"
    else:
        seen[identity] = row.line


def _wants(fields: Mapping[str, Any], suite: SuiteSpec, task: TaskSpec) -> Iterator[str]:
    prompt = fields.get("prompt")
    if not (isinstance(prompt, str) and prompt.strip()) and not isinstance(prompt, list):
        yield _should("prompt", fields, "text or a list of messages")
    if suite.sides is not None and fields.get("side") not in suite.sides:
        yield _should("side", fields, f"one of {', '.join(sorted(suite.sides))}")
    grader = str(fields.get("grader", task.grader))
    if task.kind == "cloze" or grader == "choice":
        yield from _choice(fields)
    elif grader in ("numeric", "literal", "exact"):
        if not isinstance(fields.get("answer"), str | int | float | list):
            yield _should("answer", fields, "text or a number")
    elif grader == "code" and not _texts(fields.get("tests")):
        yield _should("tests", fields, "a list of texts")
    elif grader == "refusal" and fields.get("side") not in ("refuse", "comply"):
        yield _should("side", fields, "refuse or comply")


def _choice(fields: Mapping[str, Any]) -> Iterator[str]:
    choices, answer = fields.get("choices"), fields.get("answer")
    if not _texts(choices) or len(fields["choices"]) < 2:
        yield _should("choices", fields, "a list of at least two texts")
    elif isinstance(answer, bool) or not isinstance(answer, int):
        yield _should("answer", fields, "the number of a choice, from 0")
    elif not 0 <= answer < len(fields["choices"]):
        yield _should("answer", fields, f"in 0 to {len(fields['choices']) - 1}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _should(key: str, fields: Mapping[str, Any], expected: str) -> str:
    if key not in fields:
        return f"{key} is missing when it should be {expected}"
    return f"{key} is {shown(fields[key])} when it should be {expected}"
