"""Greedy answers: those of transformers, in the order of the prompts, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from additive.models.generate import generate, generate_ids, left_padded, length_sorted_batches
from additive.models.loading import load_model, load_tokenizer
from additive.models.template import prompt_ids, stop_ids
from tests.e2e.bases import ALL_FAMILIES

PROMPTS = ["a", "a longer prompt than the first", "12+34=", "b", "what is it?", "x" * 40, "zz"]


def reference(model, ids, stops, most):
    """Greedy decoding of one prompt by transformers itself."""
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=list(stops),
            pad_token_id=0,
        )[0, len(ids) :].tolist()
    ends = [place for place, token in enumerate(out) if token in stops]
    return out[: ends[0]] if ends else out


def stops_that_happen(model, ids):
    """A set of ids that random models do produce, so that answers end at different places."""
    return tuple({reference(model, prompt, (300,), 12)[3 + n % 5] for n, prompt in enumerate(ids)})


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_answers_are_those_of_transformers(bases, family):
    model, tokenizer = load_model(bases(family)), load_tokenizer(bases(family))
    ids = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS]
    for stops in ((300,), stops_that_happen(model, ids)):
        expected = [reference(model, prompt, stops, 12) for prompt in ids]
        for batch in (1, 3, 64):
            assert generate_ids(model, ids, 12, stops, 0, batch) == expected


def test_rows_that_are_answered_leave_the_batch(bases):
    model, tokenizer = load_model(bases()), load_tokenizer(bases())
    ids = [prompt_ids(tokenizer, prompt) for prompt in PROMPTS]
    stops = stops_that_happen(model, ids)
    expected = [reference(model, prompt, stops, 12) for prompt in ids]
    assert len({len(answer) for answer in expected}) > 2
    assert generate_ids(model, ids, 12, stops, 0) == expected


def test_text_comes_back_in_the_order_of_the_prompts(llama):
    model, tokenizer = llama
    answers = generate(model, tokenizer, PROMPTS, max_tokens=8, batch=3)
    alone = [generate(model, tokenizer, [prompt], max_tokens=8)[0] for prompt in PROMPTS]
    assert answers == alone
    backwards = generate(model, tokenizer, PROMPTS[::-1], max_tokens=8, batch=3)
    assert backwards == answers[::-1]


def test_a_stop_at_once_is_an_empty_answer(llama):
    model, tokenizer = llama
    ids = [prompt_ids(tokenizer, "a")]
    (first,) = reference(model, ids[0], (300,), 1)
    assert generate_ids(model, ids, 5, (first,), 0) == [[]]


def test_no_prompts_no_answers(llama):
    model, tokenizer = llama
    assert generate(model, tokenizer, [], max_tokens=4) == []
    assert stop_ids(tokenizer, model)


def test_batches_hold_alike_lengths_and_everything_once():
    lengths = [3, 9, 4, 9, 1]
    batches = length_sorted_batches(lengths, 2)
    assert batches == [[1, 3], [2, 0], [4]]
    assert length_sorted_batches([], 2) == []


def test_padding_is_on_the_left_and_hidden():
    ids, mask, positions = left_padded([[7, 8, 9], [5]], pad_id=0)
    assert ids.tolist() == [[7, 8, 9], [0, 0, 5]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert positions.tolist() == [[0, 1, 2], [0, 0, 0]]
