"""What training would do with the rows, before it does: shown, proven, counted.

    prompt      <|user|>Tom has 12 apples and buys 7.<|end|><|assistant|>
    trained     12+7=19. The answer is 19.<|end|>

The second line is the loss mask: only it is trained, and it ends with the end-of-turn token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from additive.errors import CompatibilityError, SpecError
from additive.models.template import Encoded, control_ids, encode, end_of_turn_id
from additive.train.data import MAX_NAMED, TrainingRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Preflight:
    """What became of the rows.

    rows            all rows
    kept            rows that are trained
    truncated       rows that lost the end of their answer to `max_length`
    dropped         rows without room for any of it
    end_of_turn     the token that ends an answer
    trained_tokens  tokens of all answers
    longest         tokens of the longest example
    example         one example as (text, is it trained) parts
    trimmed         answers whose ends lose white space to the template
    """

    rows: int
    kept: int
    truncated: int
    dropped: int
    end_of_turn: str
    trained_tokens: int
    longest: int
    example: tuple[tuple[str, bool], ...]
    trimmed: int = 0

    def record(self) -> dict[str, Any]:
        """The counts as JSON."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "truncated": self.truncated,
            "dropped": self.dropped,
            "end_of_turn": self.end_of_turn,
            "trained_tokens": self.trained_tokens,
            "longest": self.longest,
        }

    def lines(self) -> tuple[str, ...]:
        """The preflight as a person reads it."""
        masked = [f"{'trained' if on else 'prompt':<11} {text!r}" for text, on in self.example]
        lost = f", {self.truncated} truncated, {self.dropped} dropped"
        rest = lost if self.truncated or self.dropped else ""
        return (
            *masked,
            f"rows        {self.kept} of {self.rows}{rest}",
            *(
                [f"white space {self.trimmed} answers lose it at their ends"]
                if self.trimmed
                else []
            ),
            f"end-of-turn {self.end_of_turn!r} is trained in every whole answer",
        )


def preflight(
    rows: Sequence[TrainingRow],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    system: str | None = None,
) -> tuple[Preflight, tuple[Encoded, ...]]:
    """Encode the rows and report; gives the examples to train on, in the order of the rows.

    Raises: SpecError naming rows whose text contains the template's control tokens;
    CompatibilityError when no row is left, or the end of turn is not among the trained tokens.
    """
    _refuse_control_text(rows, tokenizer)
    end = end_of_turn_id(tokenizer)
    places = [row.where for row in rows]
    answers = [row.completion or "" for row in rows]
    whole = encode(tokenizer, [row.prompt for row in rows], answers, system, places)
    fitted = [_fit(example, max_length) for example in whole]
    kept = tuple(example for example in fitted if example is not None)
    if not kept:
        raise CompatibilityError(
            f"none of {len(rows)} rows has room for its answer in max_length {max_length}",
            help="raise train.max_length, or shorten the prompts",
        )
    complete = [e for e in kept if e.completion[-1] == end]
    if not complete:
        raise CompatibilityError(
            f"no end of turn is trained: every answer is longer than max_length {max_length}",
            help="raise train.max_length: a model trained so never stops",
        )
    report = Preflight(
        rows=len(rows),
        kept=len(kept),
        truncated=len(kept) - len(complete),
        dropped=len(rows) - len(kept),
        end_of_turn=str(tokenizer.convert_ids_to_tokens(end)),
        trained_tokens=sum(len(e.completion) for e in kept),
        longest=max(len(e) for e in kept),
        trimmed=sum(e.trimmed for e in kept),
        example=_example_parts(complete[0], tokenizer),
    )
    return report, kept


def labels(example: Encoded) -> list[int]:
    """The labels of an example: its ids where they are trained, −100 on the prompt."""
    return [-100] * len(example.prompt) + list(example.completion)


def _fit(example: Encoded, max_length: int) -> Encoded | None:
    room = max_length - len(example.prompt)
    if room <= 0:
        return None
    return replace(example, completion=example.completion[:room])


def _example_parts(
    example: Encoded, tokenizer: PreTrainedTokenizerBase
) -> tuple[tuple[str, bool], ...]:
    trained = [label != -100 for label in labels(example)]
    parts: list[tuple[list[int], bool]] = []
    for token, on in zip(example.ids, trained, strict=True):
        if not parts or parts[-1][1] != on:
            parts.append(([], on))
        parts[-1][0].append(token)
    return tuple((str(tokenizer.decode(ids)), on) for ids, on in parts)


def _refuse_control_text(rows: Sequence[TrainingRow], tokenizer: PreTrainedTokenizerBase) -> None:
    """Text that looks like the template's own tokens would be read as them."""
    controls = sorted(
        str(text) for text in tokenizer.convert_ids_to_tokens(sorted(control_ids(tokenizer)))
    )
    problems = []
    for row in rows:
        texts = [row.prompt] if isinstance(row.prompt, str) else [m["content"] for m in row.prompt]
        found = [c for c in controls if any(c in text for text in [*texts, row.completion or ""])]
        if found:
            problems.append(f"{row.where}: text contains {found[0]!r}, a control token of the base")
    if problems:
        more = len(problems) - MAX_NAMED
        listed = [*problems[:MAX_NAMED], *([f"and {more} more rows"] if more > 0 else [])]
        raise SpecError(listed, help="remove the token from the text: it would end or begin a turn")
