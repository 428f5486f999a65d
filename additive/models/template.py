"""Prompts as the model sees them: one rendering for training, scoring and answering.

    messages  [{"role": "user", "content": "2+3="}]
    prompt    "<|im_start|>user\\n2+3=<|im_end|>\\n<|im_start|>assistant\\n"
    answer    "5<|im_end|>"            what is trained and scored: the answer with its end of turn

Prompt and answer are tokenized apart and joined as ids, since that is what answering does: the
context that a model is trained on is, id for id, the one that it will be asked with. The end of
turn is the first special token behind the answer's text; what a template writes after it (a line
break, the next turn) is never part of the answer. A template that leaves out a message's text is
refused. A template that asks for the date is told PINNED_DAY, so that prompts stay the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from additive.errors import CompatibilityError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Message = Mapping[str, str]


Prompt = str | Sequence[Message]


PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}"
    "{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
)


PINNED_DAY = datetime(2025, 1, 1)
"""The date that templates write: results of different days have to be comparable."""


_LEAST_TAIL = 3


_CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1""")


_ASKED, _ANSWERED = "Hello", "Goodbye"


@dataclass(frozen=True)
class Encoded:
    """One example as token ids.

    prompt      the rendered prompt
    completion  the answer up to and including its end of turn
    trimmed     whether the template took white space off the answer's ends
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    trimmed: bool = False

    @property
    def ids(self) -> tuple[int, ...]:
        """The whole sequence."""
        return self.prompt + self.completion

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


def as_messages(prompt: Prompt, system: str | None = None) -> list[dict[str, str]]:
    """The prompt as chat messages; `system` is put first unless the messages have a system message
    of their own.

    >>> as_messages("2+3=", system="Be brief.")
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': '2+3='}]
    """
    messages = (
        [{"role": "user", "content": prompt}]
        if isinstance(prompt, str)
        else [dict(m) for m in prompt]
    )
    if system and not any(message["role"] == "system" for message in messages):
        return [{"role": "system", "content": system}, *messages]
    return messages


def render_prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, system: str | None = None
) -> str:
    """The text that asks: the messages in the tokenizer's chat template, ending where the answer
    begins.

    Raises: CompatibilityError when the template refuses the messages or leaves out a text of them.
    """
    messages = as_messages(prompt, system)
    text = _render(tokenizer, messages, ask=True)
    _check_whole(messages, text)
    return text


def render_answer(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, completion: str, system: str | None = None
) -> tuple[str, str]:
    """The text that asks, and the text that the template makes of the answer.

    Raises: CompatibilityError when the template renders the prompt differently once it is
    answered, so that nothing trained would be what is asked later, or leaves out a text.
    """
    asked = render_prompt(tokenizer, prompt, system)
    answer = {"role": "assistant", "content": completion}
    answered = _render(tokenizer, [*as_messages(prompt, system), answer], ask=False)
    if not answered.startswith(asked):
        raise CompatibilityError(
            f"chat template ends a prompt with {asked[-40:]!r} when asking, but not when answered",
            help="use a template whose answered text begins with the text that asks",
        )
    _check_whole([answer], answered[len(asked) :])
    return asked, answered[len(asked) :]


def _check_whole(messages: Sequence[Message], text: str) -> None:
    """Raises: CompatibilityError unless a rendering holds the text of every message.

    White space at the ends may go, and so may the thoughts of an answer that is followed by others.
    """
    for place, message in enumerate(messages):
        content = message["content"]
        if message["role"] == "assistant" and place < len(messages) - 1:
            content = content.rpartition("</think>")[2]
        wanted = content.strip()
        if wanted not in text and json.dumps(wanted, ensure_ascii=False)[1:-1] not in text:
            kept = _longest_tail(wanted, text)
            lost = wanted[: len(wanted) - kept].strip() or wanted
            raise CompatibilityError(
                f"chat template leaves out text of the message with the role {message['role']}:"
                f" {lost[:60]!r}",
                help="use a chat template that writes every message as it is, or remove what it"
                " leaves out from the rows",
            )


def _longest_tail(wanted: str, text: str) -> int:
    """How many characters at the end of a text are in another one; 0 for a chance match."""
    low, high = 0, len(wanted)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if wanted[-middle:] in text else (low, middle - 1)
    return low if wanted[-low:].strip() and low >= _LEAST_TAIL else 0


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, system: str | None = None
) -> list[int]:
    """The token ids that ask."""
    return tokenize(tokenizer, [render_prompt(tokenizer, prompt, system)])[0]


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Rendered texts as ids; nothing is added, since templates write their own special tokens."""
    if not texts:
        return []
    return tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
    )["input_ids"]


def encode(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    completions: Sequence[str],
    system: str | None = None,
    places: Sequence[str] = (),
) -> list[Encoded]:
    """Examples as ids, in the order given; each answer ends with the end-of-turn token.

    places  where each example was read, for messages

    Raises: CompatibilityError when the template cannot be trained with (see `render_answer`,
    `end_of_turn_id`).
    """
    end = str(tokenizer.convert_ids_to_tokens(end_of_turn_id(tokenizer)))
    pairs = []
    for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        try:
            asked, answer = render_answer(tokenizer, prompt, completion, system)
        except CompatibilityError as error:
            if not places or error.where:
                raise
            raise CompatibilityError(error.message, where=places[at], help=error.help) from error
        pairs.append((asked, _until_end(answer, completion, end)))
    prompt_rows = tokenize(tokenizer, [pair[0] for pair in pairs])
    answer_rows = tokenize(tokenizer, [pair[1] for pair in pairs])
    return [
        Encoded(tuple(asked), tuple(answer), completion not in pair[1])
        for asked, answer, pair, completion in zip(
            prompt_rows, answer_rows, pairs, completions, strict=True
        )
    ]


def _until_end(answer: str, completion: str, end: str) -> str:
    """A rendered answer up to the end of its turn, the first end token behind the text."""
    text = completion.strip()
    start = answer.find(text) + len(text) if text in answer else 0
    stop = answer.find(end, start)
    return answer[: stop + len(end)] if stop >= 0 else answer


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token with which the template ends an assistant's turn.

    Raises: CompatibilityError when there is none: a model trained so would never stop.
    """
    messages = [
        {"role": "user", "content": _ASKED},
        {"role": "assistant", "content": _ANSWERED},
    ]
    tail = _render(tokenizer, messages, ask=False).rpartition(_ANSWERED)[2]
    special = control_ids(tokenizer)
    for token in tokenize(tokenizer, [tail])[0]:
        if token in special:
            return int(token)
    raise CompatibilityError(
        f"chat template ends a turn with {tail!r}, which is no special token",
        help="add the end token to the template: a model trained without it never stops",
    )


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: object | None = None) -> tuple[int, ...]:
    """The ids at which an answer ends: the template's end of turn, the end of text, and those the
    model declares."""
    config = getattr(model, "generation_config", None)
    declared = getattr(config, "eos_token_id", None)
    extra = declared if isinstance(declared, list) else [declared]
    ids = [end_of_turn_id(tokenizer), tokenizer.eos_token_id, *extra]
    return tuple(sorted({token for token in ids if isinstance(token, int)}))


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills the left of a batch; what it is cannot matter, the mask hides it."""
    return int(str(tokenizer.pad_token_id or 0))


def control_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids of special tokens: those that structure the text and never belong to what a person
    wrote."""
    added = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def plain_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The template for a tokenizer that has none: each message on a line of its own, answers ended
    by the end token.

    A begin token is written when the tokenizer itself would write one.
    """
    adds_begin = tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [
        tokenizer.bos_token_id
    ]
    return ("{{ bos_token }}" if adds_begin else "") + PLAIN_TEMPLATE


def ensure_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Give a tokenizer without a chat template the plain one; says whether it did.

    Raises: CompatibilityError when there is no template and no end token to end an answer with, or
    there are several and none is the default.
    """
    named = tokenizer.chat_template
    if isinstance(named, dict) and "default" not in named:
        raise CompatibilityError(
            f"tokenizer has chat templates named {', '.join(sorted(named))}, and no default",
            help="give the template that training and suites use the name default, in"
            " tokenizer_config.json",
        )
    if tokenizer.chat_template:
        return False
    if tokenizer.eos_token is None:
        raise CompatibilityError(
            "tokenizer has neither a chat template nor an end token, so no answer could ever end",
            help="add chat_template.jinja or an eos_token to the base",
        )
    tokenizer.chat_template = plain_template(tokenizer)
    return True


@cache
def pinned_template(template: str) -> str:
    """A chat template in which `strftime_now(FORMAT)` gives PINNED_DAY; others as they are.

    transformers hands the function to templates and lets no caller replace it, so a macro of the
    same name is put before the template. It knows the formats that the template writes.
    """
    formats = [match[2] for match in _CLOCK.finditer(template)]
    if not formats:
        return template
    days = {text: PINNED_DAY.strftime(text) for text in formats}
    macro = f"{{%- macro strftime_now(format) -%}}{{{{ {days!r}[format] }}}}{{%- endmacro -%}}"
    return macro + template


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], *, ask: bool
) -> str:
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=ask,
            chat_template=pinned_template(str(tokenizer.get_chat_template())),
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise CompatibilityError(
            f"chat template refuses messages with the roles {roles}: {error}"
        ) from error
    return str(text)
