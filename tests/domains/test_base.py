"""The shipped base loads as it is, knows its substrate, and stands low on every target suite."""

from __future__ import annotations

from random import Random

import pytest

from additive.graders.grading import grade
from additive.models.generate import generate
from additive.models.loading import load_model, load_tokenizer
from tools.tinybase import arithmetic, requests, stories

from .conftest import DOMAINS, SUITES, TINY

SAMPLE = 60
LONGEST = 64


@pytest.fixture(scope="module")
def answer():
    """Return greedy answering by the base."""
    model, tokenizer = load_model(TINY), load_tokenizer(TINY)
    return lambda prompts: generate(model, tokenizer, prompts, LONGEST)


def test_the_directory_stays_small():
    assert sum(f.stat().st_size for f in TINY.iterdir()) <= 8_000_000


def test_plain_transformers_loads_it():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = AutoModelForCausalLM.from_pretrained(TINY)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "17+25="}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    given = model.generate(ids, max_new_tokens=12)[0, ids.shape[1] :].tolist()
    assert tokenizer.decode(given, skip_special_tokens=True) == "17+25=42"
    assert given[-1] == tokenizer.eos_token_id != tokenizer.pad_token_id


def test_every_digit_and_every_letter_of_a_literal_is_a_token():
    tokenizer = load_tokenizer(TINY)
    assert tokenizer.tokenize("1207") == ["1", "2", "0", "7"]
    assert len(tokenizer.tokenize("'face'")) == 6


@pytest.mark.parametrize("grammar", [arithmetic.chain, stories.one_step, requests.outcome])
def test_the_substrate_is_there(grammar, answer):
    rng = Random(7)
    rows = [grammar(rng) for _ in range(SAMPLE)]
    given = answer([row.prompt for row in rows])
    assert sum(a == row.completion for a, row in zip(given, rows, strict=True)) >= 0.95 * SAMPLE


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_the_base_answers_parseably_and_stands_low(domain, suite, held_out, answer):
    items = [i for i in held_out[domain, suite] if i["grader"] != "code"][:SAMPLE]
    given = answer([item["prompt"] for item in items])
    grades = [grade(i["grader"], i, a) for i, a in zip(items, given, strict=True)]
    score = sum(g.score for g in grades) / len(grades)
    parseable = sum(g.parseable for g in grades) / len(grades)
    print(f"base on {domain} {suite}: {100 * score:.1f} %, parseable {100 * parseable:.1f} %")
    # of all items 0-6 %, and 47 % of the safety suites; a sample of 60 scatters by up to 13 points
    assert score <= (0.65 if domain == "safety" else 0.20)
    assert parseable >= 0.90
