"""The items of a suite: read, checked, drawn.

    {"id": "7", "prompt": "6*7=", "grader": "numeric", "answer": 42, "side": …, "cluster": …}

An item's identity in results is `task/id`. A `limit` draws items by the suite's seed, so that the
same items are drawn for every model and the order of the file does not matter.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.errors import IntegrityError, SpecError
from additive.spec.chat import RowFault, check_question, messages_of, with_context
from additive.spec.rows import MAX_FAULTS, read_rows
from additive.spec.suite import SuiteSpec, TaskSpec
from additive.types.digests import canonical_json, digest_file
from additive.types.seeds import derive_seed


@dataclass(frozen=True)
class Item:
    """One item of one task; `fields` is its row, `grader` the one that grades it."""

    id: str
    task: TaskSpec
    fields: Mapping[str, Any]

    @property
    def grader(self) -> str:
        """The item's own grader, else its task's."""
        return str(self.fields.get("grader", self.task.grader))

    @property
    def cluster(self) -> str | None:
        """The group of items that this one depends on."""
        value = self.fields.get("cluster")
        return None if value is None else str(value)


def read_items(suite: SuiteSpec, directory: Path) -> tuple[Item, ...]:
    """The items of a suite's own tasks, in the order of tasks and files, after the draw.

    Args: directory is what the tasks' `data` is relative to (evals/).
    Raises: SpecError for files and rows that are not as they should be; IntegrityError for a file
    that has another digest than the suite says.
    """
    found = [item for task in suite.tasks if task.data for item in _task_items(task, directory)]
    if suite.sides is not None:
        _check_sides(suite, found)
    return tuple(found[place] for place in draw(len(found), suite))


def draw(count: int, suite: SuiteSpec) -> Sequence[int]:
    """The positions that a suite's `limit` keeps of `count` items, ascending."""
    if suite.limit is None or suite.limit >= count:
        return range(count)
    generator = random.Random(derive_seed("suite", suite.name, suite.seed))
    return sorted(generator.sample(range(count), suite.limit))


def prompt_of(item: Item) -> str | list[dict[str, str]]:
    """What the item asks: its prompt behind its own `system` and `history`, or the task's template
    over its fields.

    Raises: SpecError when the template names a field that the item does not have.
    """
    if item.task.prompt is None:
        return asked(item.fields)
    try:
        return item.task.prompt.format_map(item.fields)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise SpecError(
            [f"{item.id}: prompt of the task is {item.task.prompt!r}, which asks for {error}"]
        ) from None


def asked(fields: Mapping[str, Any]) -> str | list[dict[str, str]]:
    """The question of a row, text or messages.

    Raises: RowFault for messages that cannot be read, or that end with an answer.
    """
    prompt = fields.get("prompt")
    if not prompt or not isinstance(prompt, str | list):
        raise RowFault(f"prompt is {prompt!r:.60}; expected text")
    alone = [{"role": "user", "content": prompt}]
    messages = alone if isinstance(prompt, str) else messages_of(prompt, "prompt")
    messages = with_context(fields, messages)
    check_question(messages, "prompt")
    return prompt if isinstance(prompt, str) and len(messages) == 1 else messages


def _task_items(task: TaskSpec, directory: Path) -> Iterator[Item]:
    path = directory / str(task.data)
    if task.sha256 is not None and path.is_file() and digest_file(path) != task.sha256:
        raise IntegrityError(
            f"digest is {digest_file(path)}; the suite says {task.sha256}",
            where=str(path),
            help="the items changed: put the old file back, or accept the new digest in the suite",
        )
    faults: list[str] = []
    seen: dict[str, int] = {}
    for row in read_rows(path):
        name = row.fields.get("id")
        rest = canonical_json({key: row.fields[key] for key in row.fields if key != "id"})
        found = [*_identity(name, rest, seen), *_question(row.fields)]
        seen |= {f"id {name}": row.line, rest: row.line}
        faults += [f"{path}:{row.line}: {fault}" for fault in found]
        if not faults:
            yield Item(f"{task.name}/{name}", task, row.fields)
    if faults:
        raise SpecError(faults[:MAX_FAULTS])


def _identity(name: Any, rest: str, seen: Mapping[str, int]) -> Iterator[str]:
    """An id that is missing or taken, and an item that is there under another id already."""
    if not isinstance(name, str | int) or isinstance(name, bool) or f"id {name}" in seen:
        yield f"id is {name!r}; expected text, and only once"
    elif rest in seen:
        yield f"item repeats that of line {seen[rest]}; expected each item once"


def _question(fields: Mapping[str, Any]) -> Iterator[str]:
    try:
        asked(fields)
    except RowFault as fault:
        yield str(fault)


def _check_sides(suite: SuiteSpec, items: Sequence[Item]) -> None:
    sides = sorted(suite.sides or ())
    known = f"expected one of {', '.join(sides)}"
    faults = [
        f"{item.id}: side is {item.fields.get('side')!r}; {known}"
        for item in items
        if item.fields.get("side") not in sides
    ]
    faults += [
        f"{suite.name}: task {task.name} is lm-eval's; items of a suite with sides need a side"
        for task in suite.tasks
        if task.lm_eval
    ]
    if faults:
        raise SpecError(faults)
