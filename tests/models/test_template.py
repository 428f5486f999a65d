"""One rendering for training and asking; every answer ends with a token that ends it."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from additive.errors import CompatibilityError
from additive.models.template import (
    Encoded,
    encode,
    end_of_turn_id,
    ensure_template,
    prompt_ids,
    render_answer,
    render_prompt,
    stop_ids,
    tokenize,
)
from tests.e2e.bases import byte_tokenizer

CHATML = (
    "{% for m in messages %}<|user|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)
THINKS = (
    "{% for m in messages %}<|user|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}<|system|>\n\n<|system|>{% endif %}"
    "{{ m['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)


@pytest.fixture
def tokenizer():
    return byte_tokenizer()


def test_a_prompt_ends_where_the_answer_begins(tokenizer):
    assert render_prompt(tokenizer, "2+3=") == "<|user|>2+3=<|assistant|>"
    assert render_answer(tokenizer, "2+3=", "5") == ("<|user|>2+3=<|assistant|>", "5<|end|>")


def test_a_system_message_comes_first_unless_there_is_one(tokenizer):
    assert render_prompt(tokenizer, "hi", "Be brief.").startswith("<|system|>Be brief.<|user|>")
    own = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "hi"}]
    assert "Be brief." not in render_prompt(tokenizer, own, "Be brief.")


def test_text_and_one_user_message_are_the_same(tokenizer):
    assert prompt_ids(tokenizer, "hi") == prompt_ids(tokenizer, [{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("template", [None, CHATML, THINKS])
def test_an_example_is_the_prompt_that_is_asked_and_an_answer_that_ends(tokenizer, template):
    tokenizer.chat_template = template or tokenizer.chat_template
    (example,) = encode(tokenizer, ["2+3="], ["5"])
    assert list(example.prompt) == prompt_ids(tokenizer, "2+3=")
    assert example.completion[-1] == end_of_turn_id(tokenizer) == tokenizer.eos_token_id
    assert tokenizer.decode(example.completion).endswith("5<|end|>")


@pytest.mark.parametrize("template", [None, CHATML, THINKS])
def test_trl_would_train_the_same_tokens(tokenizer, template, tmp_path):
    """TRL's own preparation of prompt and completion, but for what a template writes at the end."""
    from tests.train.trl_contract import prepared

    tokenizer.chat_template = template or tokenizer.chat_template
    (example,) = encode(tokenizer, ["2+3="], ["5"])
    ids, labels = prepared(tokenizer, "2+3=", "5", tmp_path)
    length = len(example)
    assert ids[:length] == list(example.ids)
    assert labels[:length] == [-100] * len(example.prompt) + list(example.completion)
    assert tokenizer.decode(ids[length:]).strip() == ""


def test_nothing_after_the_end_of_turn_is_part_of_the_answer(tokenizer):
    tokenizer.chat_template = CHATML
    (example,) = encode(tokenizer, ["hi"], ["ho"])
    assert tokenizer.decode(example.completion) == "ho<|end|>"


def test_a_template_that_never_ends_a_turn_is_refused(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    with pytest.raises(CompatibilityError, match="no special token"):
        encode(tokenizer, ["hi"], ["ho"])


def test_a_template_that_changes_an_answered_prompt_is_refused(tokenizer):
    tokenizer.chat_template = (
        "{% if add_generation_prompt %}<|user|>{% else %}<|system|>{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}<|end|>"
    )
    with pytest.raises(CompatibilityError, match="when asking, but not when answered"):
        encode(tokenizer, ["hi"], ["ho"])


def test_a_role_that_the_template_refuses_is_named(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}{{ m['content'] }}<|end|>{% endfor %}"
    )
    with pytest.raises(CompatibilityError, match="roles system, user"):
        render_prompt(tokenizer, "hi", "Be brief.")


def test_a_tokenizer_without_a_template_gets_the_plain_one(tokenizer):
    tokenizer.chat_template = None
    assert ensure_template(tokenizer)
    assert not ensure_template(tokenizer)
    assert render_answer(tokenizer, "hi", "ho", "Be brief.") == ("Be brief.\nhi\n", "ho<|end|>")


def test_a_tokenizer_that_cannot_end_anything_is_refused(tokenizer):
    tokenizer.chat_template, tokenizer.eos_token = None, None
    with pytest.raises(CompatibilityError, match="neither a chat template nor an end token"):
        ensure_template(tokenizer)


def test_stops_are_the_end_of_turn_and_what_the_model_declares(llama):
    model, tokenizer = llama
    assert stop_ids(tokenizer) == (1,)
    model.generation_config.eos_token_id = [1, 4]
    assert stop_ids(tokenizer, model) == (1, 4)
    model.generation_config.eos_token_id = 1


def test_ids_survive_saving(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert encode(again, ["2+3="], ["5"]) == encode(tokenizer, ["2+3="], ["5"])


def test_nothing_to_encode_is_nothing(tokenizer):
    assert encode(tokenizer, [], []) == []
    assert tokenize(tokenizer, []) == []
    assert len(Encoded((1, 2), (3,))) == 3
