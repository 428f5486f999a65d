"""Prompts as the model sees them: one rendering for training, scoring and answering.

    messages  [{"role": "user", "content": "2+3="}]
    prompt    "<|im_start|>user\\n2+3=<|im_end|>\\n<|im_start|>assistant\\n"
    answer    "5<|im_end|>"            what is trained and scored: the answer with its end of turn

Prompt and answer are tokenised apart and joined as ids, since that is what answering does: the
context that a model is trained on is, id for id, the one that it will be asked with. What a
template writes after the end of turn (a line break, often) is never part of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


_PROBE = "Hello"


@dataclass(frozen=True)
class Encoded:
    """One example as token ids: the rendered prompt, and the answer up to and including its end of
    turn."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

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
    begins."""
    return _render(tokenizer, as_messages(prompt, system), ask=True)


def render_answer(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, completion: str, system: str | None = None
) -> tuple[str, str]:
    """The text that asks, and the text that the template makes of the answer.

    Raises: CompatibilityError when the template renders the prompt differently once it is
    answered, so that nothing trained would be what is asked later.
    """
    messages = as_messages(prompt, system)
    asked = _render(tokenizer, messages, ask=True)
    answered = _render(
        tokenizer, [*messages, {"role": "assistant", "content": completion}], ask=False
    )
    if not answered.startswith(asked):
        raise CompatibilityError(
            f"chat template ends a prompt with {asked[-40:]!r} when asking, but not when answered",
            help="use a template whose answered text begins with the text that asks",
        )
    return asked, answered[len(asked) :]


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
) -> list[Encoded]:
    """Examples as ids, in the order given; each answer ends with the end-of-turn token.

    Raises: CompatibilityError when the template cannot be trained with (see `render_answer`,
    `end_of_turn_id`).
    """
    end = end_of_turn_id(tokenizer)
    pairs = [
        render_answer(tokenizer, prompt, completion, system)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    asked = tokenize(tokenizer, [pair[0] for pair in pairs])
    answers = tokenize(tokenizer, [pair[1] for pair in pairs])
    return [Encoded(tuple(a), _until_end(b, end)) for a, b in zip(asked, answers, strict=True)]


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token with which the template ends an assistant's turn.

    Raises: CompatibilityError when there is none: a model trained so would never stop.
    """
    _, answer = render_answer(tokenizer, _PROBE, _PROBE)
    special = control_ids(tokenizer)
    for token in reversed(tokenize(tokenizer, [answer])[0]):
        if token in special:
            return token
    raise CompatibilityError(
        f"chat template ends a turn with {answer[len(_PROBE) :]!r}, which is no special token",
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

    Raises: CompatibilityError when there is no template and no end token to end an answer with.
    """
    if tokenizer.chat_template:
        return False
    if tokenizer.eos_token is None:
        raise CompatibilityError(
            "tokenizer has neither a chat template nor an end token, so no answer could ever end",
            help="add chat_template.jinja or an eos_token to the base",
        )
    tokenizer.chat_template = plain_template(tokenizer)
    return True


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], *, ask: bool
) -> str:
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise CompatibilityError(
            f"chat template refuses messages with the roles {roles}: {error}"
        ) from error
    return str(text)


def _until_end(ids: Sequence[int], end: int) -> tuple[int, ...]:
    last = len(ids) - 1 - list(reversed(ids)).index(end)
    return tuple(ids[: last + 1])
