r"""Held-out questions as people keep them, as the items of a suite.

    {"prompt": "Tom has 12 apples and buys 7. How many?", "answer": 19}
    {"question": "…", "answer": "12+7=19\n#### 19"}                 gsm8k's mark
    {"instruction": "…", "input": "…", "output": "…"}
    {"messages": [{"role": "user", …}, {"role": "assistant", …}]}

The whole row is kept; `id`, `prompt` and `answer` are put where graders look for them.

Which grader questions are made for, by what every one of their rows has.

All rows decide, not the first: one answer that is no number makes the whole file text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.errors import SpecError
from additive.graders.literal import is_value
from additive.graders.numeric import whole_number
from additive.spec.chat import RowFault, check_question, messages_of, with_context
from additive.spec.rows import MAX_FAULTS, JsonRow, read_rows
from additive.types.digests import canonical_json

_SIDES = ("refuse", "comply")


def detect_grader(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The grader's name, and what it was chosen by.

    >>> detect_grader([{"answer": 19}, {"answer": "1,200"}])
    ('numeric', 'every answer is a number')
    """
    answers = [row.get("answer") for row in rows]
    named = {str(row.get("grader")) for row in rows}
    if len(named) == 1 and named != {"None"}:
        return named.pop(), "every row names it"
    if all(row.get("side") in _SIDES for row in rows):
        return "refusal", "every row has a side, refuse or comply"
    if all(isinstance(row.get("choices"), list) for row in rows):
        return "choice", "every row has choices"
    if all(isinstance(row.get("tests"), list) for row in rows):
        return "code", "every row has tests"
    if all(map(_is_number, answers)):
        return "numeric", "every answer is a number"
    if all(isinstance(answer, list) or is_value(answer) for answer in answers):
        return "literal", "every answer is a Python value"
    return "exact", "the answers are text"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return whole_number(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


_PROMPTS = ("prompt", "question", "instruction", "input")


_ANSWERS = ("answer", "completion", "output", "response", "solution")


_CHATS = ("messages", "conversations")


_FINAL = "####"


_LEAST_TOKENS, _MOST_TOKENS, _WORKED_TOKENS = 32, 512, 256


_ENDLESS = 1 << 20


@dataclass(frozen=True)
class Questions:
    """The items of a suite, and how they are asked and graded.

    why   what the grader was chosen by
    kind  `generate`, or `cloze` where the options are not in the prompt
    sides of a two-sided suite (refuse and comply), else empty
    """

    rows: tuple[JsonRow, ...]
    grader: str
    why: str
    kind: str
    max_tokens: int
    sides: tuple[str, ...]

    def text(self) -> str:
        """The items as JSON lines, canonical, in the order of the file."""
        return "".join(canonical_json(dict(row.fields)) + "\n" for row in self.rows)


def read_questions(
    path: Path,
    grader: str | None = None,
    max_tokens: int | None = None,
    context: int | None = None,
) -> Questions:
    """The questions of a JSON-lines file; grader and length of the answers are detected.

    context  the model's longest text in tokens; answers get at most a quarter of it unless
             max_tokens says more

    Raises: SpecError with every row that has no question or no answer.

    Example: `read_questions(Path("math_heldout.jsonl")).grader`
    """
    given = read_rows(path)
    faults: list[str] = []
    rows = [_item(row, place, faults, path) for place, row in enumerate(given, 1)]
    if faults:
        raise SpecError(
            faults[:MAX_FAULTS],
            help=f"a row has one of {', '.join((*_PROMPTS[:3], 'messages'))} and one of"
            f" {', '.join(_ANSWERS[:3])}",
        )
    fields = _unique_ids([row.fields for row in rows])
    found, why = (grader, "as asked for") if grader else detect_grader(fields)
    made = [
        JsonRow(row.line, _for_grader(each, found)) for row, each in zip(rows, fields, strict=True)
    ]
    return Questions(
        rows=tuple(made),
        grader=found,
        why=why,
        kind="cloze" if found == "choice" and not _options_shown(fields) else "generate",
        max_tokens=max_tokens or min(_tokens(found, fields), (context or _ENDLESS) // 4),
        sides=tuple(sorted({str(row["side"]) for row in fields})) if found == "refusal" else (),
    )


def _item(row: JsonRow, place: int, faults: list[str], path: Path) -> JsonRow:
    try:
        return JsonRow(row.line, _fields(row.fields, place))
    except RowFault as fault:
        faults.append(f"{path}:{row.line}: {fault}")
        return row


def _fields(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """An item's fields, `id`, `prompt` and `answer` where graders look for them.

    Raises: RowFault.
    """
    fields = dict(row)
    chat = next((key for key in _CHATS if isinstance(fields.get(key), list)), None)
    if chat is not None:
        fields |= _of_chat(fields.pop(chat), chat)
    prompt = next((fields[key] for key in _PROMPTS if fields.get(key)), None)
    answer = next((fields[key] for key in _ANSWERS if fields.get(key) is not None), None)
    extra = fields.get("input")
    if prompt is None:
        raise RowFault("prompt is missing; expected a question")
    if fields.get("instruction") == prompt and isinstance(extra, str) and extra:
        prompt = f"{prompt}\n\n{extra}"
    if isinstance(fields.get("tests"), str):
        raise RowFault("tests is text; expected a list of statements")
    if answer is None and not {"answers", "tests", "side"} & fields.keys():
        raise RowFault("answer is missing; expected text or a number")
    named = str(fields["id"]) if isinstance(fields.get("id"), str | int) else f"{place:05d}"
    kept = {key: value for key, value in fields.items() if value is not None}
    asked = _asked(fields, prompt)
    for key in ("system", "history", "tools"):
        kept.pop(key, None)
    said = {} if answer is None else {"answer": _final(answer)}
    return {**kept, "id": named, "prompt": asked, **said}


def _asked(row: Mapping[str, Any], prompt: Any) -> str | list[dict[str, str]]:
    """The question, behind the row's system message and history: text, or messages."""
    if isinstance(prompt, list):
        messages = messages_of(prompt, "prompt")
    elif isinstance(prompt, str):
        messages = [{"role": "user", "content": prompt}]
    else:
        raise RowFault(f"prompt is {type(prompt).__name__}; expected text or messages")
    messages = with_context(row, messages)
    check_question(messages, "prompt")
    if len(messages) == 1 and isinstance(prompt, str):
        return prompt
    return messages


def _of_chat(turns: Sequence[Any], key: str) -> dict[str, Any]:
    """The last answer of a conversation, and everything before it."""
    named = bool(turns) and isinstance(turns[0], Mapping) and "role" in turns[0]
    role, content = ("role", "content") if named else ("from", "value")
    messages = messages_of(list(turns), key, role, content)
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise RowFault(f"{key} ends without an answer; expected the assistant's as the last one")
    asked = messages[:-1]
    prompt = asked[0]["content"] if len(asked) == 1 else asked
    return {"prompt": prompt, "completion": messages[-1]["content"]}


def _final(answer: Any) -> Any:
    """The answer without GSM8K's working: cut only where the last line is `#### NUMBER`."""
    if isinstance(answer, str) and answer.strip():
        last = answer.strip().splitlines()[-1].strip()
        if last.startswith(_FINAL) and whole_number(last.removeprefix(_FINAL)) is not None:
            return last.removeprefix(_FINAL).strip()
    return answer


def _unique_ids(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    if len(set(ids)) == len(ids):
        return [dict(row) for row in rows]
    return [{**row, "id": f"{place:05d}"} for place, row in enumerate(rows, 1)]


def _for_grader(fields: Mapping[str, Any], grader: str) -> dict[str, Any]:
    """A grader of its own in a row wins; what is left over from another suite does not harm."""
    kept = dict(fields)
    if kept.get("grader") == grader:
        kept.pop("grader")
    return kept


def _options_shown(rows: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        isinstance(row["prompt"], str) and all(str(o) in row["prompt"] for o in row["choices"])
        for row in rows
    )


def _tokens(grader: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Room for the answers: characters bound tokens from above; work before a number needs more."""
    texts = [str(row[key]) for row in rows for key in _ANSWERS if row.get(key) is not None]
    longest = max(map(len, texts), default=_MOST_TOKENS)
    worked = any(row.get("completion") for row in rows)
    least = _WORKED_TOKENS if grader == "numeric" and not worked else _LEAST_TOKENS
    return min(_MOST_TOKENS, max(least, longest))
