"""Training rows, whatever they are written like, as prompt and answer.

    {"prompt": "2+3=", "completion": "5"}                          prompt-completion
    {"messages": [{"role": "user", "content": "2+3="},
                  {"role": "assistant", "content": "5"}]}          messages
    {"instruction": "Add.", "input": "2 and 3", "output": "5"}     alpaca
    {"conversations": [{"from": "human", "value": "2+3="},
                       {"from": "gpt", "value": "5"}]}             sharegpt

One file has one format. `system` and `history` beside them become messages; what changes a row and
is not read (tools, tool calls, images: `spec.chat`) is a fault; other keys are left alone. Of a
conversation with several answers only the last one is trained, the others are part of its prompt.
Every row that cannot be read is named with its line and field, all of a file at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.errors import IntegrityError, SpecError
from additive.spec.chat import RowFault, check_trained, messages_of, text_of, with_context
from additive.spec.rows import Scanner, scan_rows
from additive.types.digests import Digest, digest_json

MAX_NAMED = 20


"""Faulty rows that an error names; the rest are counted."""


@dataclass(frozen=True)
class TrainingRow:
    """One example. `prompt` is text or chat messages; `completion` is None for a prompt alone."""

    prompt: str | tuple[Mapping[str, str], ...]
    completion: str | None
    where: str = ""

    def record(self) -> dict[str, Any]:
        """What the row says, without where it was read."""
        prompt = self.prompt if isinstance(self.prompt, str) else [dict(m) for m in self.prompt]
        return {"prompt": prompt, "completion": self.completion}


@dataclass(frozen=True)
class Table:
    """The rows of one file and the format that they were read as."""

    path: Path
    format: str
    rows: tuple[TrainingRow, ...]


def read_rows(path: Path, format: str = "auto", *, prompts_only: bool = False) -> Table:
    """The rows of a JSON-lines file.

    Args: format is "auto" (decided by the keys of the first row) or the name of one;
    prompts_only also accepts rows without an answer.
    Raises: SpecError naming every faulty row; IntegrityError when the file is missing or empty.
    """
    return table_of(path, str(path), scan_rows, format, prompts_only=prompts_only)


def table_of(
    path: Path, name: str, scan: Scanner, format: str = "auto", *, prompts_only: bool = False
) -> Table:
    """As `read_rows`, of a file that messages call by the name, read by `scan`."""
    try:
        given = scan(path, name)
    except FileNotFoundError as error:
        raise IntegrityError("file is missing", where=name) from error
    if not given.rows and not given.faults:
        raise IntegrityError("file has no rows", where=name)
    problems = list(given.faults)
    found = _detect(given.rows[0].fields) if format == "auto" and given.rows else format
    if given.rows and found not in _READERS:
        keys = ", ".join(sorted(given.rows[0].fields))
        raise SpecError(
            [f"{name}:{given.rows[0].line}: row has the keys {keys}, those of no format"],
            help="formats: prompt + completion, messages, instruction + output, conversations",
        )
    rows = [_row(f"{name}:{r.line}", r.fields, found, prompts_only, problems) for r in given.rows]
    if problems:
        more = len(problems) - MAX_NAMED
        listed = [*problems[:MAX_NAMED], *([f"{name}: and {more} more rows"] if more > 0 else [])]
        raise SpecError(listed, help=f"the file was read as {found}; every row must have its keys")
    return Table(path, found, tuple(row for row in rows if row is not None))


def rows_digest(rows: Sequence[TrainingRow]) -> Digest:
    """The digest of what rows say, in their order."""
    return digest_json([row.record() for row in rows])


def _detect(record: Mapping[str, Any]) -> str:
    if "messages" in record:
        return "messages"
    if "conversations" in record:
        return "sharegpt"
    if "instruction" in record:
        return "alpaca"
    return "prompt-completion" if "prompt" in record else "unknown"


def _row(
    where: str,
    record: Mapping[str, Any],
    format: str,
    prompts_only: bool,
    problems: list[str],
) -> TrainingRow | None:
    try:
        prompt, completion = _READERS[format](record)
        if completion is None and not prompts_only:
            raise RowFault("completion is missing; expected text")
        if completion is not None and not completion.strip():
            raise RowFault("answer is empty; expected text")
    except RowFault as fault:
        problems.append(f"{where}: {fault}")
        return None
    return TrainingRow(prompt, completion, where)


_Read = tuple[str | tuple[Mapping[str, str], ...], str | None]


def _last_answer(record: Mapping[str, Any], messages: list[dict[str, str]], key: str) -> _Read:
    if messages[-1]["role"] != "assistant":
        return tuple(with_context(record, messages)), None
    if len(messages) == 1:
        raise RowFault(f"{key} has only an answer; expected a question before it")
    check_trained(record[key], key)
    return tuple(with_context(record, messages[:-1])), messages[-1]["content"]


def _asked(record: Mapping[str, Any], text: str) -> str | tuple[Mapping[str, str], ...]:
    """A question that is text, behind the row's system message and history."""
    messages = with_context(record, [{"role": "user", "content": text}])
    return tuple(messages) if len(messages) > 1 else text


def _from_prompt(record: Mapping[str, Any]) -> _Read:
    prompt, completion = record.get("prompt"), record.get("completion")
    asked = (
        tuple(with_context(record, messages_of(prompt, "prompt")))
        if isinstance(prompt, list)
        else _asked(record, text_of(record, "prompt"))
    )
    if isinstance(completion, list):
        answer = messages_of(completion, "completion")
        if len(answer) != 1 or answer[0]["role"] != "assistant":
            raise RowFault("completion is a conversation; expected one message of the assistant")
        check_trained(completion, "completion")
        return asked, answer[0]["content"]
    return asked, None if completion is None else text_of(record, "completion")


def _from_alpaca(record: Mapping[str, Any]) -> _Read:
    instruction, extra = text_of(record, "instruction"), record.get("input") or ""
    if not isinstance(extra, str):
        raise RowFault(f"input is {type(extra).__name__}; expected text")
    output = None if record.get("output") is None else text_of(record, "output")
    return _asked(record, f"{instruction}\n\n{extra}" if extra else instruction), output


def _from_messages(record: Mapping[str, Any]) -> _Read:
    return _last_answer(record, messages_of(record.get("messages"), "messages"), "messages")


def _from_sharegpt(record: Mapping[str, Any]) -> _Read:
    turns = record.get("conversations")
    named = (
        isinstance(turns, list) and turns and isinstance(turns[0], Mapping) and "role" in turns[0]
    )
    role, content = ("role", "content") if named else ("from", "value")
    messages = messages_of(turns, "conversations", role, content)
    return _last_answer(record, messages, "conversations")


_READERS: dict[str, Callable[[Mapping[str, Any]], _Read]] = {
    "prompt-completion": _from_prompt,
    "messages": _from_messages,
    "alpaca": _from_alpaca,
    "sharegpt": _from_sharegpt,
}
