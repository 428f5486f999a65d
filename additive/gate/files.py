"""Read result files of three kinds, told apart by their contents.

    our own            {"schema": "additive.result/1", …}, from `additive check MERGE --results DIR`
    id and score       [{"id": "17", "score": 1}, …], or one such object per line
    lm-eval samples    samples_<task>_<date>.jsonl, written by `lm_eval --log_samples`

lm-eval writes a row per document and filter (gsm8k has two), with one key per metric; where there
is more than one of either, the caller has to choose, since they differ by points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from additive.errors import IntegrityError, UsageError
from additive.types.results import (
    SCHEMA,
    ItemScore,
    SuiteResult,
    read_document,
    read_item,
    read_score,
    unique,
    wrong,
)

LOWER_IS_BETTER = frozenset(
    "ter wer cer mse rmse mae brier_score pct_stereotype likelihood_diff perplexity word_perplexity"
    " byte_perplexity bits_per_byte toxicity error error_rate".split()
)
"""Metrics of lm-eval and others of which less is better."""


Row = tuple[str, Mapping[str, Any]]


KINDS = (
    "give a file of `additive check MERGE --results DIR`, lm-eval samples,"
    " or rows with id and score"
)


_SAMPLES_NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT[\d.:-]+")


def read_result(
    path: Path,
    *,
    metric: str | None = None,
    filter: str | None = None,
    lower_is_better: bool = False,
) -> SuiteResult:
    """Read a result file.

    metric, filter   choose among the scores of an lm-eval samples file
    lower_is_better  turns every score, 1 − s

    Raises: UsageError when there is no such file, or a choice is needed; IntegrityError when it is
    not a result file, naming the line.
    """
    result = _read_result(path, metric, filter)
    name = str(result.record.get("metric", ""))
    if name in LOWER_IS_BETTER and not lower_is_better:
        raise UsageError(
            f"metric is {name}, of which less is better", where=str(path), help="--lower-is-better"
        )
    if not lower_is_better:
        return result
    turned = (
        item if item.score is None else replace(item, score=1.0 - item.score)
        for item in result.items
    )
    return replace(result, items=tuple(turned))


def _read_result(path: Path, metric: str | None, filter: str | None) -> SuiteResult:
    text = _read(path)
    whole = _parsed(text)
    if isinstance(whole, Mapping) and "schema" in whole:
        return read_document(_ours(whole, path), str(path))
    if isinstance(whole, Mapping) and "id" not in whole and "doc_id" not in whole:
        raise _another_kind(whole, path)
    rows = [*(_listed(whole, path) if isinstance(whole, list) else _lines(text, path))]
    if not rows:
        raise IntegrityError(
            "there are no results in this file",
            where=str(path),
            help=KINDS,
        )
    if "doc_id" in rows[0][1] and "id" not in rows[0][1]:
        return _samples(rows, path, metric, filter)
    if metric or filter:
        raise UsageError("metric or filter is given for a file without either", where=str(path))
    items = unique((read_item(row, where) for where, row in rows), str(path))
    return SuiteResult(suite=path.stem, model=path.stem, items=items)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), help=KINDS) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise IntegrityError(f"cannot be read: {reason}", where=str(path), help=KINDS) from error
    except UnicodeDecodeError as error:
        raise IntegrityError(
            f"byte {error.start} is not UTF-8 text", where=str(path), help=KINDS
        ) from error


def _parsed(text: str) -> Any:
    """The file as one JSON value, or None when it is none (it may still be JSON lines)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _ours(document: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The document, when it is a result and no other one of ours, such as a whole check."""
    found = document["schema"]
    if found == SCHEMA:
        return document
    raise IntegrityError(f"schema is {found!r}; expected {SCHEMA!r}", where=str(path), help=KINDS)


def _another_kind(document: Mapping[str, Any], path: Path) -> IntegrityError:
    """What a JSON object that is no result is, where that is known."""
    if "results" in document:
        return IntegrityError(
            "holds lm-eval's totals; a comparison needs the score of every item",
            where=str(path),
            help="run lm_eval with --log_samples, and give the samples_….jsonl file",
        )
    if "eval" in document and "samples" in document:
        return IntegrityError(
            "is a log of Inspect, which is not read",
            where=str(path),
            help='write its samples as lines of {"id": …, "score": …}',
        )
    keys = ", ".join(list(map(str, document))[:5]) or "none"
    return IntegrityError(f"is an object with the keys {keys}", where=str(path), help=KINDS)


def _listed(rows: Sequence[Any], path: Path) -> Iterator[Row]:
    return (_row(row, f"{path}: [{place}]") for place, row in enumerate(rows))


def _lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            try:
                yield _row(json.loads(line), where)
            except (ValueError, RecursionError) as error:
                raise IntegrityError(
                    f"line is not JSON: {error}",
                    where=where,
                    help="a file cut short has to be written again; else " + KINDS,
                ) from None


def _row(row: Any, where: str) -> Row:
    if not isinstance(row, Mapping):
        raise wrong(where, "row", row, 'an object such as {"id": "1", "score": 1}')
    return where, row


def _samples(
    rows: Sequence[Row], path: Path, metric: str | None, filter: str | None
) -> SuiteResult:
    filters = [*dict.fromkeys(str(row.get("filter", "none")) for _, row in rows)]
    chosen = _choose("filter", filter, filters, path)
    kept = [(where, row) for where, row in rows if str(row.get("filter", "none")) == chosen]
    name = _choose("metric", metric, _metrics(kept[0][1]), path)
    items = unique((_sample(row, where, name) for where, row in kept), str(path))
    match = _SAMPLES_NAME.fullmatch(path.stem)
    record = {"metric": name, "filter": chosen}
    return SuiteResult(match["task"] if match else path.stem, path.stem, items, record)


def _sample(row: Mapping[str, Any], where: str, metric: str) -> ItemScore:
    answers = row.get("filtered_resps") or [""]
    answer = answers[0] if isinstance(answers, list) else answers
    return ItemScore(
        id=str(row.get("doc_id")),
        prompt_sha256="/".join(str(row.get(key, "")) for key in ("doc_hash", "prompt_hash")),
        score=read_score(row.get(metric), where, metric),
        answer=answer if isinstance(answer, str) else json.dumps(answer),
    )


def _metrics(row: Mapping[str, Any]) -> list[str]:
    named = row.get("metrics")
    if isinstance(named, list):
        return [str(name) for name in named]
    numbers = [key for key, value in row.items() if isinstance(value, bool | int | float)]
    return [key for key in numbers if key != "doc_id"]


def _choose(what: str, wanted: str | None, there: Sequence[str], path: Path) -> str:
    if wanted in there or (wanted is None and len(there) == 1):
        return wanted or there[0]
    listed = ", ".join(there) or "none"
    asked = f"{what} is {wanted!r}" if wanted else f"{what} is not given"
    raise UsageError(
        f"{asked}; expected one of {listed}", where=str(path), help=f"choose with --{what}"
    )
