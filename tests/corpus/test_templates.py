"""Chat templates with the features of model families: trained and asked as they are meant.

The templates are written by hand; each has the feature that its name says, as the family has it.
"""

from __future__ import annotations

import pytest

from additive.errors import CompatibilityError
from additive.models.template import (
    encode,
    end_of_turn_id,
    ensure_template,
    render_answer,
    render_prompt,
)
from additive.train.data import TrainingRow
from additive.train.preflight import preflight
from tests.e2e.bases import byte_tokenizer

HEAD = "{% for m in messages %}{{ '<|user|>' + m['role'] + '\\n' }}"
TURN = "{{ m['content'] }}"
END = "{{ '<|end|>\\n' }}{% endfor %}"
ASK = "{% if add_generation_prompt %}{{ '<|user|>assistant\\n' }}{% endif %}"

ASSISTANT = "{% if m['role'] == 'assistant' %}"
PLAIN = HEAD + TURN + END + ASK
EMPTY_THOUGHTS = (
    HEAD
    + "{% if m['role'] == 'assistant' and '<think>' not in m['content'] %}"
    + "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    + TURN + END + ASK
)  # fmt: skip
DROPS_THOUGHTS = (
    HEAD
    + "{% set c = m['content'] %}"
    + "{% if m['role'] == 'assistant' and '</think>' in c %}"
    + "{% set c = c.split('</think>')[-1] %}{% endif %}{{ c }}"
    + END + ASK
)  # fmt: skip
OPENS_THOUGHTS = (
    HEAD + TURN + END
    + "{% if add_generation_prompt %}{{ '<|user|>assistant\\n<think>\\n' }}{% endif %}"
)  # fmt: skip
NO_SYSTEM = (
    "{% for m in messages if m['role'] != 'system' %}" + HEAD.partition("%}")[2] + TURN + END + ASK
)
NO_TOOL = (
    HEAD
    + "{% if m['role'] in ('user', 'assistant', 'system') %}"
    + TURN
    + "{% endif %}"
    + END
    + ASK
)
PARTS = HEAD + "{% for part in m['content'] %}{{ part['text'] }}{% endfor %}" + END + ASK
TRIMS = HEAD + "{{ m['content'] | trim }}" + END + ASK
ALWAYS_ASKS = HEAD + TURN + END + "{{ '<|user|>assistant\\n' }}"
TWO_ENDS = HEAD + TURN + "{{ '<|end|><|system|>' }}{% endfor %}" + ASK
CLOCK = "{{ '<|system|>Today: ' + strftime_now('%d %b %Y %H:%M:%S') + '\\n' }}" + PLAIN
INST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + '<|end|>' }}{% endif %}{% endfor %}"
)
RAISES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + PLAIN
)


def tokenizer(template):
    made = byte_tokenizer()
    made.chat_template = template
    return made


TRAINED = {
    "ChatML": (PLAIN, "5", "5<|end|>"),
    "Qwen3's empty thoughts": (EMPTY_THOUGHTS, "5", "<think>\n\n</think>\n\n5<|end|>"),
    "Qwen3's own thoughts": (EMPTY_THOUGHTS, "<think>a</think>\n5", "<think>a</think>\n5<|end|>"),
    "a template that always asks": (ALWAYS_ASKS, "    return 0\n", "    return 0\n<|end|>"),
    "two tokens that end": (TWO_ENDS, "5", "5<|end|>"),
    "Gemma's and Llama's trim": (TRIMS, "    return a + b\n", "return a + b<|end|>"),
    "Mistral's [INST]": (INST, "5", " 5<|end|>"),
    "Llama 3's date": (CLOCK, "5", "5<|end|>"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_trained(name):
    template, completion, expected = TRAINED[name]
    made = tokenizer(template)
    (example,) = encode(made, ["2+3="], [completion])
    assert made.decode(example.completion) == expected
    assert example.trimmed == (name == "Gemma's and Llama's trim")


LOST = {
    "R1 drops the thoughts": (
        DROPS_THOUGHTS,
        {},
        "<think>two and three</think>\n\n5",
        "two and three",
    ),
    "no system role": (NO_SYSTEM, {"system": "Answer as a pirate."}, "5", "as a pirate"),
    "parts alone": (PARTS, {}, "5", "2+3="),
}


@pytest.mark.parametrize("name", LOST)
def test_text_that_a_template_leaves_out_is_refused(name):
    template, options, completion, lost = LOST[name]
    with pytest.raises(CompatibilityError, match="leaves out text") as caught:
        encode(tokenizer(template), ["2+3="], [completion], places=["rows.jsonl:7"], **options)
    assert lost in str(caught.value)
    assert "rows.jsonl:7" in str(caught.value)


def test_a_tool_turn_that_is_left_out_is_refused():
    asked = [{"role": "user", "content": "Weather?"}, {"role": "tool", "content": "sun"}]
    with pytest.raises(CompatibilityError, match="role tool: 'sun'"):
        render_prompt(tokenizer(NO_TOOL), asked)


def test_thoughts_of_earlier_answers_may_be_left_out():
    asked = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>x</think>\nb"},
        {"role": "user", "content": "c"},
    ]
    assert "<think>" not in render_prompt(tokenizer(DROPS_THOUGHTS), asked)


def test_a_template_that_opens_a_thought_can_be_asked_and_not_trained():
    made = tokenizer(OPENS_THOUGHTS)
    assert render_prompt(made, "2+3=").endswith("<think>\n")
    assert made.convert_ids_to_tokens(end_of_turn_id(made)) == "<|end|>"
    with pytest.raises(CompatibilityError, match="when asking, but not when answered"):
        render_answer(made, "2+3=", "5")


def test_a_clock_is_pinned():
    assert "Today: 01 Jan 2025 00:00:00" in render_prompt(tokenizer(CLOCK), "2+3=")


def test_named_templates_without_a_default_are_named():
    with pytest.raises(CompatibilityError, match="named rag, tool_use, and no default"):
        ensure_template(tokenizer({"rag": PLAIN, "tool_use": PLAIN}))
    assert not ensure_template(tokenizer({"default": PLAIN, "rag": PLAIN}))


def test_a_refused_role_is_named():
    with pytest.raises(CompatibilityError, match="no system role"):
        render_prompt(tokenizer(RAISES), "2+3=", "Be brief.")


def test_lost_white_space_is_counted():
    row = TrainingRow("2+3=", "    return a + b\n")
    report, _ = preflight([row, TrainingRow("2+3=", "5")], tokenizer(TRIMS), 64)
    assert report.trimmed == 1
    assert any(line.startswith("white space 1 ") for line in report.lines())
