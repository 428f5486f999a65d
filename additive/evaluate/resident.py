"""A model in memory as lm-eval's LM: greedy answers and log-likelihoods in fixed batches.

Batches are made of the base tokenizer's lengths, so all models of a comparison get the same ones;
below fp32, where a batch's composition may change an answer, answered rows stay in theirs.
What lm-eval's own wrapper does silently is an error here: a prompt that does not fit is never cut,
sampling is refused, and tied weights are left alone (Hugging Face's wrapper ties them again, which
changes a merge whose head and embedding differ).

lm-eval without its noise: its log lines and progress bars go nowhere, ours stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from additive.errors import CompatibilityError
from additive.graders import THOUGHT_MARKS, opened_thought
from additive.models.generate import generate_ids, length_sorted_batches
from additive.models.score import score_encoded
from additive.models.template import (
    Encoded,
    control_ids,
    pad_id,
    pinned_template,
    stop_ids,
    tokenize,
)

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel, PreTrainedTokenizerBase


Tick = Callable[[int, int], None]


_DEFAULT_TOKENS = 256


class ResidentLM(LM):
    """A loaded model for `lm_eval.evaluator.evaluate`.

    Args: batch is the number of prompts that are answered together; tick is told (done, of) after
    each batch.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch: int,
        tick: Tick,
    ) -> None:
        super().__init__()
        self._model, self._tokenizer, self._batch, self._tick = model, tokenizer, batch, tick
        self._device = model.device
        vocabulary = tokenizer.get_vocab()
        self._thought_ids = {vocabulary[mark] for mark in THOUGHT_MARKS & vocabulary.keys()}

    @property
    def tokenizer_name(self) -> str:
        """Only used by lm-eval's request cache, which is never used here."""
        return type(self._tokenizer).__name__

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The messages as the template renders them, for lm-eval's own tasks."""
        return str(
            self._tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                chat_template=pinned_template(str(self._tokenizer.get_chat_template())),
            )
        )

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Greedy answers up to the end of turn, the first stop text, or the token limit.

        Raises: CompatibilityError when a prompt does not fit, or sampling is asked for.
        """
        limits = [_limit(request) for request in requests]
        asked = [str(request.args[0]) for request in requests]
        prompts = tokenize(self._tokenizer, asked)
        sizes = [len(ids) + room for ids, room in zip(prompts, limits, strict=True)]
        self._check_room(sizes, asked)
        answers = [""] * len(requests)
        done = 0
        for size in sorted(set(limits)):
            places = [place for place, limit in enumerate(limits) if limit == size]
            lengths = [len(prompts[place]) for place in places]
            for rows in length_sorted_batches(lengths, self._batch):
                chosen = [places[row] for row in rows]
                texts = self._answers([prompts[place] for place in chosen], size)
                for place, text in zip(chosen, texts, strict=True):
                    answers[place] = opened_thought(asked[place]) + _cut(text, requests[place])
                done += len(chosen)
                self._tick(done, len(requests))
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Sum of the log-probabilities of each continuation, and whether it is the greedy one.

        Raises: CompatibilityError when a text does not fit.
        """
        pairs = [self._encoded(*map(str, _arguments(r))) for r in requests]
        self._check_room([len(pair) for pair in pairs], [str(r.args[0]) for r in requests])
        exact, losses = score_encoded(self._model, pairs, pad_id(self._tokenizer), self._batch)
        self._tick(len(requests), len(requests))
        return [
            (-loss * len(pair.completion), greedy)
            for pair, greedy, loss in zip(pairs, exact, losses, strict=True)
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-probability of whole texts, each in one window.

        Raises: CompatibilityError when a text does not fit.
        """
        texts = [self._encoded("", str(request.args[0])) for request in requests]
        self._check_room([len(text) for text in texts], [str(r.args[0]) for r in requests])
        _, losses = score_encoded(self._model, texts, pad_id(self._tokenizer), self._batch)
        return [-loss * len(text.completion) for text, loss in zip(texts, losses, strict=True)]

    def _answers(self, prompts: Sequence[Sequence[int]], most: int) -> list[str]:
        stops = stop_ids(self._tokenizer, self._model)
        pad, exact = pad_id(self._tokenizer), self._model.dtype.itemsize >= 4
        ids = generate_ids(self._model, prompts, most, stops, pad, len(prompts), shrink=exact)
        # Marks of thoughts stay even where they are special tokens: graders look for them.
        left_out = control_ids(self._tokenizer) - self._thought_ids
        kept = [[token for token in row if token not in left_out] for row in ids]
        return self._tokenizer.batch_decode(kept, skip_special_tokens=False)

    def _encoded(self, context: str, continuation: str) -> Encoded:
        """Context and continuation tokenised as one text, as lm-eval does it; spaces at the seam
        belong to the continuation."""
        bare = context.rstrip()
        continuation = context[len(bare) :] + continuation
        prefix = self._tokenizer.bos_token_id
        if not bare:
            start: Any = prefix if prefix is not None else self._tokenizer.eos_token_id
            return Encoded((start,), tuple(tokenize(self._tokenizer, [continuation])[0]))
        before, whole, alone = tokenize(self._tokenizer, [bare, bare + continuation, continuation])
        begin = self._begin(bare)
        return Encoded((*begin, *before), tuple(whole[len(before) :] or alone))

    def _begin(self, text: str) -> tuple[int, ...]:
        """The begin token, where the tokenizer writes one and the text does not have it yet."""
        begin: Any = self._tokenizer.bos_token_id
        mark = self._tokenizer.bos_token
        if begin is None or (mark and text.startswith(str(mark))):
            return ()
        return (begin,) if self._tokenizer("")["input_ids"][:1] == [begin] else ()

    def _check_room(self, lengths: Sequence[int], texts: Sequence[str]) -> None:
        room = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(lengths, default=0)
        if room is not None and longest > room:
            raise CompatibilityError(
                f"item {texts[lengths.index(longest)][-60:]!r} needs {longest} tokens; the model"
                f" has room for {room}",
                help="lower max_tokens in the suite, or leave out the longest items; "
                "nothing is cut silently",
            )


def _arguments(request: Instance) -> tuple[Any, ...]:
    """What is asked; lm-eval types it as a tuple of one."""
    return tuple(request.args)


def _limit(request: Instance) -> int:
    wanted: dict[str, Any] = _arguments(request)[1]
    if wanted.get("do_sample") or float(wanted.get("temperature") or 0) > 0:
        raise CompatibilityError(
            f"task {request.task_name} samples its answers; expected greedy decoding",
            help="set do_sample: false and temperature: 0 in the task's generation_kwargs",
        )
    return int(wanted.get("max_gen_toks") or wanted.get("max_new_tokens") or _DEFAULT_TOKENS)


def _cut(text: str, request: Instance) -> str:
    """The text up to the first of the request's stop texts."""
    until = _arguments(request)[1].get("until") or []
    for stop in [until] if isinstance(until, str) else until:
        if stop:
            text = text.split(stop, 1)[0]
    return text
