"""Chat messages as people write them in rows: read strictly, nothing left out in silence.

    {"role": "user", "content": "2+3="}                        OpenAI, TRL
    {"from": "human", "value": "2+3="}                         ShareGPT
    {"role": "user", "content": [{"type": "text", "text": "2+3="}]}

Content is text, or parts of text, which are joined. What changes a message and is not read (tool
calls, reasoning apart from the text, images) is a fault, and so are tools that a row declares.
`system` and `history` beside the messages (LLaMA-Factory's Alpaca and ShareGPT) become messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}
"""Role as written -> role of a chat template."""


_UNREAD = (
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "thinking",
    "images",
    "image",
    "audio",
    "videos",
)


_NOT_TRAINED = {"weight": 0, "train": False, "loss": False}


class RowFault(Exception):
    """What is wrong with one row."""


def text_of(record: Mapping[str, Any], key: str, *, path: str = "") -> str:
    """A field that has to be text.

    Raises: RowFault.
    """
    value = record.get(key)
    if not isinstance(value, str):
        found = "missing" if key not in record else f"{type(value).__name__}"
        raise RowFault(f"{path}{key} is {found}; expected text")
    return value


def messages_of(
    value: Any, key: str, role: str = "role", content: str = "content"
) -> list[dict[str, str]]:
    """A conversation as messages with `role` and `content`.

    value          the field `key` of a row
    role, content  how its messages call them

    Raises: RowFault naming the message and its field.
    """
    if not isinstance(value, list) or not value:
        found = "missing" if value is None else type(value).__name__
        raise RowFault(f"{key} is {found}; expected a list of messages")
    return [_message(m, f"{key}[{place}]", role, content) for place, m in enumerate(value)]


def _message(value: Any, path: str, role: str, content: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise RowFault(f"{path} is {type(value).__name__}; expected a message")
    name = text_of(value, role, path=f"{path}.")
    if name not in ROLES:
        raise RowFault(f"{path}.{role} is {name!r}; expected one of {', '.join(ROLES)}")
    unread = [key for key in _UNREAD if value.get(key)]
    if unread:
        raise RowFault(f"{path}.{unread[0]} is there; only {role} and {content} are read")
    return {"role": ROLES[name], "content": _content(value, path, content)}


def _content(message: Mapping[str, Any], path: str, key: str) -> str:
    parts = message.get(key)
    if not isinstance(parts, list):
        return text_of(message, key, path=f"{path}.")
    for place, part in enumerate(parts):
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RowFault(f"{path}.{key}[{place}] is {kind}; expected a part of text")
    return "".join(part["text"] for part in parts)


def with_context(
    record: Mapping[str, Any], messages: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """The messages behind what else the row says: `system` first, then the turns of `history`.

    Raises: RowFault for either in another form, for a second system message, and for tools.
    """
    tools = record.get("tools")
    if tools and tools != "[]":
        raise RowFault("tools is there; rows with tools are not read")
    before: list[dict[str, str]] = []
    system = record.get("system")
    if system:
        if any(message["role"] == "system" for message in messages):
            raise RowFault("system is there, and a message of the role system; expected one")
        before.append({"role": "system", "content": text_of(record, "system")})
    history: list[Any] = list(record.get("history") or [])
    for place, turn in enumerate(history):
        if (
            not isinstance(turn, list)
            or len(turn) != 2
            or not all(isinstance(t, str) for t in turn)
        ):
            raise RowFault(f"history[{place}] is no pair of texts; expected [question, answer]")
        before += [
            {"role": "user", "content": turn[0]},
            {"role": "assistant", "content": turn[1]},
        ]
    return [*before, *map(dict, messages)]


def check_question(messages: Sequence[Mapping[str, str]], key: str) -> None:
    """Raises: RowFault unless the last message is one to be answered."""
    if messages[-1]["role"] not in ("user", "tool"):
        raise RowFault(
            f"{key} ends with a message of the {messages[-1]['role']}; expected one of the user"
        )


def check_trained(value: Any, key: str) -> None:
    """Raises: RowFault when the last message of a conversation asks not to be trained."""
    last = value[-1] if isinstance(value, list) and value else None
    if not isinstance(last, Mapping):
        return
    for name, off in _NOT_TRAINED.items():
        if name in last and last[name] == off and last[name] is not None:
            raise RowFault(
                f"{key}[{len(value) - 1}].{name} is {last[name]!r}; the last answer is what is"
                " trained: remove the row"
            )
