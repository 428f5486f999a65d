"""Teacher-forced scores: exact is what greedy decoding would say, the loss is transformers' own."""

from __future__ import annotations

import math

import pytest
import torch

from additive.models.loading import load_model, load_tokenizer
from additive.models.score import score_encoded, teacher_forced
from additive.models.template import Encoded, encode, prompt_ids
from tests.e2e.bases import ALL_FAMILIES, FAMILIES

PROMPTS = ["a", "a longer prompt", "12+34=", "b"]
ANSWERS = ["yes", "no, not at all", "46", "c"]


def plain_loss(model, example):
    ids = torch.tensor([example.ids])
    labels = ids.clone()
    labels[:, : len(example.prompt)] = -100
    with torch.inference_mode():
        return float(model(ids, labels=labels).loss)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_the_loss_is_the_models_own(bases, family):
    model, tokenizer = load_model(bases(family)), load_tokenizer(bases(family))
    examples = encode(tokenizer, PROMPTS, ANSWERS)
    expected = [plain_loss(model, example) for example in examples]
    for batch in (1, 3, 64):
        _, losses = teacher_forced(model, tokenizer, PROMPTS, ANSWERS, batch)
        assert losses == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_exact_is_what_greedy_decoding_says(bases, family):
    """The model's own greedy continuation is exact; with any token changed it is not."""
    model, tokenizer = load_model(bases(family)), load_tokenizer(bases(family))
    prompts = [tuple(prompt_ids(tokenizer, prompt)) for prompt in PROMPTS]
    said = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(5):
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        said.append(tuple(ids[len(prompt) :]))
    own = [Encoded(prompt, answer) for prompt, answer in zip(prompts, said, strict=True)]
    exact, _ = score_encoded(model, own, 0, batch=3)
    assert exact == [True] * 4
    for place in range(5):
        wrong = [
            Encoded(
                e.prompt,
                (*e.completion[:place], e.completion[place] ^ 1, *e.completion[place + 1 :]),
            )
            for e in own
        ]
        assert score_encoded(model, wrong, 0, batch=3)[0] == [False] * 4


def test_scoring_leaves_the_model_as_it_was(llama):
    model, tokenizer = llama
    model.train()
    teacher_forced(model, tokenizer, PROMPTS, ANSWERS)
    assert model.training
    model.eval()


def test_nothing_to_score_is_nothing(llama):
    model, tokenizer = llama
    assert teacher_forced(model, tokenizer, [], []) == ([], [])


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_has_no_room_for_is_wrong_and_costs_the_others_nothing(bases, family):
    model, tokenizer = load_model(bases(family)), load_tokenizer(bases(family))
    fitting = encode(tokenizer, PROMPTS, ANSWERS)
    room = model.config.max_position_embeddings
    long = Encoded((5,) * room, fitting[0].completion)
    alone = score_encoded(model, fitting, 0)
    exact, losses = score_encoded(model, [long, *fitting], 0)
    assert (exact[1:], losses[1:]) == alone
    assert exact[0] is False
    assert losses[0] == pytest.approx(math.log(model.config.vocab_size))
    assert score_encoded(model, [long], 0)[0] == [False]
