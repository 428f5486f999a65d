"""Faults in the rows of domains and the items of suites, before a model reads them.

A file that was read without a fault is remembered by digest, so that the next lint only hashes it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from additive.artifacts.atomic import write_json
from additive.errors import IntegrityError, SpecError
from additive.overlap.texts import normalise, squeezed
from additive.spec.faults import quote
from additive.spec.rows import JsonRow, Scanner, read_rows
from additive.spec.suite import SuiteSpec, TaskSpec
from additive.train.data import TrainingRow, table_of
from additive.types.digests import digest_file, digest_json, short
from additive.workspace.workspace import Workspace

MAX_FAULTS = 20
"""Faults that are listed of one file."""


RULES_VERSION = 1
"""Raise it when a rule changes, so that files are read again."""


_SPLITS = ("train", "validation")


Value = TypeVar("Value")


def item_faults(rows: Sequence[JsonRow], suite: SuiteSpec, task: TaskSpec, name: str) -> list[str]:
    """The first faults of a task's items, as `name:line: X is A; expected B`."""
    faults: list[str] = []
    seen: dict[str, int] = {}
    for row in rows:
        row_faults = (*_id_faults(row, seen), *_field_faults(row.fields, suite, task))
        faults += [f"{name}:{row.line}: {fault}" for fault in row_faults]
        if len(faults) >= MAX_FAULTS:
            return faults[:MAX_FAULTS]
    return faults


def _id_faults(row: JsonRow, seen: dict[str, int]) -> Iterator[str]:
    identity = row.fields.get("id")
    if not isinstance(identity, str) or not identity:
        yield _fault("id", row.fields, "text")
    elif identity in seen:
        yield f"id is {identity!r}, as in line {seen[identity]}; expected one of its own"
    else:
        seen[identity] = row.line


def _field_faults(fields: Mapping[str, Any], suite: SuiteSpec, task: TaskSpec) -> Iterator[str]:
    prompt = fields.get("prompt")
    if not (isinstance(prompt, str) and prompt.strip()) and not isinstance(prompt, list):
        yield _fault("prompt", fields, "text or a list of messages")
    if suite.sides is not None and fields.get("side") not in suite.sides:
        yield _fault("side", fields, f"one of {', '.join(sorted(suite.sides))}")
    grader = str(fields.get("grader", task.grader))
    if task.kind == "cloze" or grader == "choice":
        yield from _choice_faults(fields)
    elif grader in ("numeric", "literal", "exact"):
        if not isinstance(fields.get("answer"), str | int | float | list):
            yield _fault("answer", fields, "text or a number")
    elif grader == "code" and not _texts(fields.get("tests")):
        yield _fault("tests", fields, "a list of texts")
    elif grader == "refusal" and fields.get("side") not in ("refuse", "comply"):
        yield _fault("side", fields, "refuse or comply")


def _choice_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    choices, answer = fields.get("choices"), fields.get("answer")
    if not _texts(choices) or len(fields["choices"]) < 2:
        yield _fault("choices", fields, "a list of at least two texts")
    elif isinstance(answer, bool) or not isinstance(answer, int):
        yield _fault("answer", fields, "the number of a choice, from 0")
    elif not 0 <= answer < len(fields["choices"]):
        yield _fault("answer", fields, f"in 0 to {len(fields['choices']) - 1}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _fault(key: str, fields: Mapping[str, Any], expected: str) -> str:
    if key not in fields:
        return f"{key} is missing; expected {expected}"
    return f"{key} is {quote(fields[key])}; expected {expected}"


def check_domain(workspace: Workspace, name: str, scan: Scanner) -> int:
    """Read the rows of a domain and return their number.

    Raises: SpecError with every fault; IntegrityError for a file without rows.
    """
    rules = ["rows", workspace.domain(name).data.format]
    files = [path for split in _SPLITS for path in workspace.data_files(name, split)]
    return _sum(
        lambda path=path: _count(
            workspace, path, rules, lambda: len(_training_rows(workspace, path, name, scan))
        )
        for path in files
    )


def check_suite(workspace: Workspace, name: str, scan: Scanner) -> int:
    """Read the items of a suite and return their number.

    Raises: SpecError with every fault; IntegrityError when a file has not the digest that the suite
    names.
    """
    spec = workspace.suite(name)
    tasks = [task for task in spec.tasks if task.data]
    return _sum(lambda task=task: _check_task(workspace, spec, task, scan) for task in tasks)


def _check_task(workspace: Workspace, suite: SuiteSpec, task: TaskSpec, scan: Scanner) -> int:
    path = workspace.evals / str(task.data)
    display_path = workspace.display_path(path)

    def count() -> int:
        rows = read_rows(path, display_path, scan)
        faults = item_faults(rows, suite, task, display_path)
        if faults:
            raise SpecError(faults)
        return len(rows)

    rules = ["items", task.kind, task.grader, sorted(suite.sides or ())]
    number = _count(workspace, path, rules, count)
    if task.sha256 is not None and digest_file(path) != task.sha256:
        raise IntegrityError(
            f"file is {short(digest_file(path))}; the suite names {short(task.sha256)}",
            where=display_path,
            help=f"bring the file back, or set sha256 in evals/{suite.name}.yaml",
        )
    return number


def _sum(counts: Iterable[Callable[[], int]]) -> int:
    """The sum of some counts; the faults of all that fail are raised together."""
    total, faults = 0, []
    help: str | None = None
    for count in counts:
        try:
            total += count()
        except SpecError as error:
            faults += error.problems
            help = error.help or help
    if faults:
        raise SpecError(faults, help=help)
    return total


def _count(workspace: Workspace, path: Path, rules: Sequence[Any], count: Callable[[], int]) -> int:
    """The number of rows of a file, counted once for its bytes and the rules they were read by."""
    if not path.is_file():
        raise SpecError([f"{workspace.display_path(path)}: file is missing"])
    return _cached(workspace, [*rules, digest_file(path)], count, int)


def shared_prompts(workspace: Workspace, name: str, scan: Scanner) -> tuple[str, ...]:
    """Validation rows of a domain whose prompt is a training row's, one line each.

    Raises: SpecError, IntegrityError when the rows cannot be read.
    """
    train, validation = (workspace.data_files(name, split) for split in _SPLITS)
    validation = tuple(path for path in validation if path not in train)
    files = [
        [(workspace.display_path(path), digest_file(path)) for path in paths]
        for paths in (train, validation)
    ]

    def compare() -> list[str]:
        rows = (
            [row for path in paths for row in _training_rows(workspace, path, name, scan)]
            for paths in (train, validation)
        )
        return list(_repeated(*rows))

    key = ["splits", workspace.domain(name).data.format, *files]
    return tuple(_cached(workspace, key, compare, list))


def _repeated(train: Sequence[TrainingRow], validation: Sequence[TrainingRow]) -> Iterator[str]:
    by_prompt: dict[str, list[TrainingRow]] = defaultdict(list)
    for row in train:
        by_prompt[squeezed(_text(row.prompt))].append(row)
    for row in validation:
        prompt = _text(row.prompt)
        for other in reversed(by_prompt.get(squeezed(prompt), ())):
            if normalise(_text(other.prompt)) == normalise(prompt):
                yield f"{row.where}: row has the prompt of {other.where}"
                break


def _text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return " ".join(str(message.get("content", "")) for message in prompt)


def _training_rows(
    workspace: Workspace, path: Path, domain: str, scan: Scanner
) -> Sequence[TrainingRow]:
    format = workspace.domain(domain).data.format
    return table_of(path, workspace.display_path(path), scan, format).rows


def _cached(
    workspace: Workspace, key: Sequence[Any], compute: Callable[[], Value], kind: type[Value]
) -> Value:
    """A value from the workspace's cache, computed and kept where it is missing or damaged."""
    path = workspace.cache / "rows" / f"{digest_json([RULES_VERSION, *key])}.json"
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        value = None
    if not isinstance(value, kind):
        value = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value)
    return value
