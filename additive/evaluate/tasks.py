"""Items as lm-eval tasks: configurations made in memory, nothing written, nothing downloaded.

lm-eval asks and keeps the answers; grading is done afterwards in one batch (see `grading`), so that
code runs side by side and the graders are the same as everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from additive.evaluate.items import Item, prompt_of
from additive.models.template import render_prompt

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedTokenizerBase


ANSWERED = "answered"


def task_name(suite: str, task: str) -> str:
    """The name under which lm-eval knows a task of a suite."""
    return f"{suite}:{task}"


def configuration(
    suite: str, items: Sequence[Item], tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """The lm-eval configuration of one task's items.

    Generated answers are asked for in the tokenizer's chat template; cloze items compare endings of
    plain text.
    """
    task = items[0].task
    rows = [_row(place, item, tokenizer) for place, item in enumerate(items)]
    shared = {
        "task": task_name(suite, task.name),
        "custom_dataset": _dataset_of(rows),
        "test_split": "test",
        "doc_to_text": "text",
        "target_delimiter": "",
        "num_fewshot": 0,
    }
    if task.kind == "cloze":
        return {
            **shared,
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
            "process_results": _picked_by_byte if task.normalize == "bytes" else _picked,
            "metric_list": [_metric("acc")],
        }
    return {
        **shared,
        "output_type": "generate_until",
        "doc_to_target": "",
        "generation_kwargs": {"until": [], "max_gen_toks": task.max_tokens, "do_sample": False},
        "process_results": _answered,
        "metric_list": [_metric(ANSWERED)],
    }


def _row(place: int, item: Item, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    prompt = prompt_of(item)
    if item.task.kind == "cloze":
        text = str(prompt)
        endings = [_ending(text, str(choice)) for choice in item.fields["choices"]]
        return {"place": place, "text": text, "choices": endings, "answer": item.fields["answer"]}
    return {"place": place, "text": render_prompt(tokenizer, prompt, item.task.system)}


def _ending(text: str, choice: str) -> str:
    apart = text and not text[-1].isspace() and not choice[:1].isspace()
    return f" {choice}" if apart else choice


def _dataset_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    def load(config_source: str = "") -> dict[str, Any]:  # lm-eval tells where a task is from
        from datasets import Dataset

        return {"test": Dataset.from_list([dict(row) for row in rows])}

    return load


def _metric(name: str) -> dict[str, Any]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def _answered(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    return {ANSWERED: float(bool(results[0].strip()))}


def _picked(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    return {"acc": float(picked([value for value, _ in results]) == doc["answer"])}


def _picked_by_byte(
    doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
) -> dict[str, float]:
    values = [value for value, _ in results]
    return {"acc": float(picked(values, doc["choices"]) == doc["answer"])}


def picked(likelihoods: Sequence[float], choices: Sequence[str] = ()) -> int:
    """The index of the likeliest choice; with `choices`, by the log-likelihood per byte of text.

    >>> picked([-3.0, -2.5]), picked([-3.0, -2.5], ["Constantinople", "Rome"])
    (1, 0)
    """
    sizes = [len(choice.strip().encode()) or 1 for choice in choices] or [1] * len(likelihoods)
    values = [value / size for value, size in zip(likelihoods, sizes, strict=True)]
    return values.index(max(values))
