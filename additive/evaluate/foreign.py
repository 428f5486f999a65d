"""Tasks that lm-eval brings or reads from a YAML file: their own prompts, filters and metrics.

The index of lm-eval's built-in tasks takes seconds to build, so it is built only when a task is
asked for by name. A task with several filters or metrics has to be told which one counts, since
they differ by points.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from additive.errors import (
    CompatibilityError,
    IntegrityError,
    SpecError,
    UsageError,
    did_you_mean,
)
from additive.evaluate.items import draw
from additive.spec.suite import SuiteSpec, TaskSpec
from additive.types.digests import Digest, digest_bytes, digest_json
from additive.types.results import ItemScore


def load_foreign(suite: SuiteSpec, directory: Path) -> dict[str, Any]:
    """The suite's lm-eval tasks by the suite's own names for them.

    Raises: UsageError for a task that lm-eval does not know; IntegrityError when its data cannot be
    loaded; CompatibilityError when it runs code and the suite does not agree to that.
    """
    wanted = [task for task in suite.tasks if task.lm_eval]
    if not wanted:
        return {}
    from lm_eval.tasks import TaskManager

    paths = {task.name: directory / str(task.lm_eval) for task in wanted}
    by_name = any(not path.is_file() for path in paths.values())
    manager = TaskManager(include_defaults=by_name)
    return {task.name: _load(manager, task, paths[task.name]) for task in wanted}


def foreign_digest(tasks: Mapping[str, Any], suite: SuiteSpec) -> list[Any]:
    """What identifies the drawn documents of the tasks, and how they are asked and scored."""
    found = []
    for spec in suite.tasks:
        if spec.name in tasks:
            task = tasks[spec.name]
            docs = [task.eval_docs[place] for place in drawn(task, suite)]
            found.append([spec.name, _digest(docs), _digest(task.dump_config())])
    return found


def drawn(task: Any, suite: SuiteSpec) -> list[int]:
    """The positions of a task's documents that the suite's `limit` keeps."""
    return list(draw(len(task.eval_docs), suite))


def foreign_scores(
    spec: TaskSpec, rows: Sequence[Mapping[str, Any]], where: str, lower: Collection[str] = ()
) -> list[ItemScore]:
    """The scores of one task's logged samples.

    lower  metrics of which less is better; their scores are turned, 1 − s

    Raises: UsageError when a metric or filter has to be chosen; IntegrityError for a score outside
    [0, 1].
    """
    filters = [*dict.fromkeys(str(row["filter"]) for row in rows)]
    chosen = _choose("filter", spec.filter, filters, where)
    kept = [row for row in rows if row["filter"] == chosen]
    metric = _choose("metric", spec.metric, [str(name) for name in kept[0]["metrics"]], where)
    return [_score(spec, row, metric, where, metric in lower) for row in kept]


def _load(manager: Any, spec: TaskSpec, path: Path) -> Any:
    where = f"task {spec.name}"
    asked = str(path) if path.is_file() else str(spec.lm_eval)
    try:
        tasks = manager.load([asked])["tasks"]
    except KeyError:
        near = did_you_mean(str(spec.lm_eval), manager.all_tasks)
        raise UsageError(
            f"lm_eval is {spec.lm_eval!r}; expected a task of lm-eval or a YAML file{near}",
            where=where,
            help="`lm_eval ls tasks` lists the names",
        ) from None
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise IntegrityError(
            f"lm-eval cannot load {spec.lm_eval}: {error}",
            where=where,
            help="its data may have to be downloaded once, with the network allowed",
        ) from error
    if len(tasks) != 1:
        raise UsageError(
            f"lm_eval is {spec.lm_eval!r}, a group of {len(tasks)}; expected one task",
            where=where,
            help="list the group's tasks one by one",
        )
    (task,) = tasks.values()
    if getattr(task, "UNSAFE_CODE", False) and not spec.confirm_unsafe:
        raise CompatibilityError(
            f"{spec.lm_eval} runs generated code outside the sandbox",
            where=where,
            help="use our code grader, or write confirm_unsafe: true",
        )
    metrics, filters = list(task.higher_is_better()), [each.name for each in task._filters]
    _choose("metric", spec.metric, metrics, where)
    _choose("filter", spec.filter, filters, where)
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=0)
    return task


def lower_is_better(task: Any) -> frozenset[str]:
    """The metrics of a task of which less is better, as the task says."""
    return frozenset(name for name, higher in task.higher_is_better().items() if not higher)


def _score(
    spec: TaskSpec, row: Mapping[str, Any], metric: str, where: str, turned: bool
) -> ItemScore:
    value = row[metric]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise IntegrityError(
            f"{metric} is {value!r}; expected a number in [0, 1]",
            where=where,
            help="gate on a metric that scores each item, such as acc or exact_match",
        )
    answer = row["filtered_resps"][0] if row["filtered_resps"] else ""
    return ItemScore(
        id=f"{spec.name}/{row['doc_id']}",
        prompt_sha256=digest_bytes(f"{row['doc_hash']}{row['prompt_hash']}".encode()),
        score=1.0 - value if turned else float(value),
        answer=answer if isinstance(answer, str) else json.dumps(answer),
    )


def _choose(what: str, wanted: str | None, there: Sequence[str], where: str) -> str:
    if wanted in there or (wanted is None and len(there) == 1):
        return wanted or there[0]
    said = f"{what} is {wanted!r}" if wanted else f"{what} is not given"
    near = did_you_mean(wanted, there) if wanted else ""
    raise SpecError([f"{where}: {said}; expected one of {', '.join(there)}{near}"])


def _digest(value: Any) -> Digest:
    return digest_json(json.loads(json.dumps(value, default=str)))
