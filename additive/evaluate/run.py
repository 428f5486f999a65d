"""One model on one suite: recalled if it was measured before, else asked through lm-eval.

results = evaluate(Subject("math@9f3c2a1b", digest, load), suite, Path("evals"),
                   Setting(tokenizer), cache_directory=Path(".additive/cache/results"))

What is evaluated, and on what: a model that is loaded only when it has to answer.

Results that were measured before, kept under everything that could change them.

    key = digest(model, suite, runtime, level)

model: weights, base, tokenizer and template · suite: items, prompts, graders' versions, decoding,
how many and by which seed · runtime: dtype, device, batch_size, library versions · level: what
held code that was run, if any was. Nothing is ever looked up by a name. A record that is damaged,
or that does not say it belongs to the key, is measured again.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from additive.artifacts.atomic import write_text
from additive.errors import IntegrityError
from additive.evaluate.foreign import (
    drawn,
    foreign_digest,
    foreign_scores,
    load_foreign,
    lower_is_better,
)
from additive.evaluate.grading import find_verifiers, grader_versions, needed_level, scores
from additive.evaluate.items import Item, read_items
from additive.evaluate.resident import ResidentLM
from additive.evaluate.tasks import configuration, task_name
from additive.graders import Verifier
from additive.sandbox import SandboxLevel
from additive.spec.suite import SuiteSpec
from additive.types.digests import Digest, digest_json
from additive.types.progress import Listener, Progress, silent
from additive.types.results import ItemScore, SuiteResult, read_document, result_document

if TYPE_CHECKING:
    from additive.models.kinds import PreTrainedModel, PreTrainedTokenizerBase


_MOST_TOLD = 3


_LIBRARIES = ("torch", "transformers", "lm-eval", "math-verify", "additive-merge")


@dataclass(frozen=True)
class Subject:
    """A model under evaluation.

    `name` is how results name it (`math@9f3c2a1b`); `digest` stands for its weights, base,
    tokenizer and template; `load` gives the model, in evaluation mode, and is not called when every
    result is there already.
    """

    name: str
    digest: Digest
    load: Callable[[], PreTrainedModel]


@dataclass(frozen=True)
class Setting:
    """What all models of a comparison share: the base's tokenizer with its template, and the
    machine's numbers (`dtype` and `device` as the models are loaded)."""

    tokenizer: PreTrainedTokenizerBase
    dtype: str = "float32"
    device: str = "cpu"

    def runtime(self, batch_size: int) -> Mapping[str, Any]:
        """What may change an answer beside model and suite."""
        return {
            "dtype": self.dtype,
            "device": self.device,
            "batch_size": batch_size,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "tokenizer": loaded_tokenizer_digest(self.tokenizer),
        }


def loaded_tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> Digest:
    """A digest of how texts become ids, and of the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    whole = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return digest_json([whole, tokenizer.chat_template, tokenizer.special_tokens_map])


SCHEMA = "additive.evaluation/1"


def cache_key(
    model: Digest, suite: Digest, runtime: Mapping[str, Any], level: str | None
) -> dict[str, Any]:
    """The key as JSON, as it is kept beside the results."""
    return {"model": model, "suite": suite, "runtime": dict(runtime), "sandbox_level": level}


def path_of(directory: Path, key: Mapping[str, Any]) -> Path:
    """Where the results of a key are kept."""
    digest = digest_json(key)
    return directory / digest[:2] / f"{digest}.json"


def recall(directory: Path, key: Mapping[str, Any]) -> tuple[SuiteResult, ...] | None:
    """The results kept for a key; None when there are none that can be trusted."""
    try:
        document = json.loads(path_of(directory, key).read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA or document["key"] != dict(key):
            return None
        if document["digest"] != digest_json(document["results"]):
            return None
        return tuple(read_document(result) for result in document["results"])
    except (OSError, ValueError, KeyError, TypeError, IntegrityError):
        return None


def keep(directory: Path, key: Mapping[str, Any], results: Sequence[SuiteResult]) -> Path:
    """Keep the results of a key; the file is whole or not there.

    Raises: ResourceError when the disk is full or fails.
    """
    documents = [result_document(result) for result in results]
    path = path_of(directory, key)
    whole = {"schema": SCHEMA, "key": key, "digest": digest_json(documents), "results": documents}
    write_text(path, json.dumps(whole, ensure_ascii=False, sort_keys=True))
    return path


def evaluate(
    subject: Subject,
    suite: SuiteSpec,
    directory: Path,
    setting: Setting,
    cache_directory: Path | None = None,
    progress: Listener = silent,
) -> tuple[SuiteResult, ...]:
    """The model's result on a suite, or one result per side (`suite/side`) of a two-sided one.

    Args: directory is what the suite's files are relative to (evals/); without a cache_directory
    nothing is recalled or kept.
    Raises: SpecError, IntegrityError for items that are not as they should be; CompatibilityError
    when an item does not fit the model; SecurityError when code has to run and nothing can hold it.
    """
    asked = _prepare(suite, directory)
    level = asked.level.name if asked.level else None
    key = cache_key(subject.digest, asked.digest, setting.runtime(suite.batch_size), level)
    known = recall(cache_directory, key) if cache_directory else None
    if known is not None:
        return tuple(_named(result, subject.name) for result in known)
    record = {"key": digest_json(key), **key, "graders": asked.versions}
    found = _measured(asked, subject, setting, progress)
    results = _by_side(suite, asked.items, found, subject.name, record)
    if cache_directory:
        keep(cache_directory, key, results)
    return results


@dataclass(frozen=True)
class _PreparedSuite:
    suite: SuiteSpec
    items: tuple[Item, ...]
    verifiers: Mapping[str, Verifier]
    versions: Mapping[str, str]
    level: SandboxLevel | None
    foreign: Mapping[str, Any]
    digest: Digest


def _prepare(suite: SuiteSpec, directory: Path) -> _PreparedSuite:
    items = read_items(suite, directory)
    verifiers = find_verifiers(items, directory)
    versions = grader_versions(items, verifiers)
    with quiet():
        foreign = load_foreign(suite, directory)
        others = foreign_digest(foreign, suite)
    digest = _suite_digest(suite, items, versions, others)
    level = needed_level(items, verifiers)
    return _PreparedSuite(suite, items, verifiers, versions, level, foreign, digest)


def foreign_items(suite: SuiteSpec, directory: Path) -> int:
    """How many items the suite's lm-eval tasks have; without such a task lm-eval is not imported.

    Raises: as `evaluate`, for tasks, metrics and filters that do not exist.
    """
    with quiet():
        tasks = load_foreign(suite, directory)
        return sum(len(task.eval_docs) for task in tasks.values())


def _suite_digest(
    suite: SuiteSpec, items: Sequence[Item], versions: Mapping[str, str], others: Sequence[Any]
) -> Digest:
    """All of a suite that may change a score: not its rule, and not where its files are."""
    tasks = [task.model_dump(mode="json", exclude={"data", "sha256"}) for task in suite.tasks]
    rows = [[item.id, dict(item.fields)] for item in items]
    chosen = [suite.name, suite.limit, suite.seed, sorted(suite.sides or ())]
    return digest_json([chosen, tasks, rows, dict(versions), list(others), "greedy"])


def _measured(
    asked: _PreparedSuite, subject: Subject, setting: Setting, progress: Listener
) -> list[ItemScore]:
    """Every item's score: own items in their order, then those of lm-eval's tasks."""
    from lm_eval.tasks import TaskManager

    topic, loud = f"{asked.suite.name}  {subject.name}", sys.stderr

    def tick(done: int, of: int) -> None:
        with contextlib.redirect_stderr(loud):
            progress(Progress(topic, "answered", done, of))

    model = ResidentLM(subject.load(), setting.tokenizer, asked.suite.batch_size, tick)
    with quiet():
        own = _own_samples(asked, setting, model, TaskManager(include_defaults=False))
        others = [_foreign_samples(asked, name, model) for name in asked.foreign]
    found = scores(asked.items, own, asked.verifiers, asked.level)
    for item in [item for item in found if item.unscored][:_MOST_TOLD]:
        what = f"{item.id} has no score: {item.unscored}; the answer was {item.answer[:80]!r}"
        progress(Progress(topic, what, lasting=True))
    return [*found, *(score for part in others for score in part)]


def _own_samples(
    asked: _PreparedSuite, setting: Setting, model: Any, manager: Any
) -> list[Mapping[str, Any]]:
    """One logged sample per item, in the order of the items."""
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(asked.items):
        groups.setdefault(item.task.name, []).append(place)
    if not groups:
        return []
    name = asked.suite.name
    configurations = [
        configuration(name, [asked.items[place] for place in places], setting.tokenizer)
        for places in groups.values()
    ]
    samples = _run(model, manager.load(configurations), template=False)
    found: list[Mapping[str, Any]] = [{} for _ in asked.items]
    for task, places in groups.items():
        for sample in samples[task_name(name, task)]:
            found[places[sample["doc"]["place"]]] = sample
    return found


def _foreign_samples(asked: _PreparedSuite, name: str, model: Any) -> list[ItemScore]:
    task = asked.foreign[name]
    (spec,) = [task for task in asked.suite.tasks if task.name == name]
    known = task.config.task
    loaded = {"tasks": {known: task}, "groups": {}, "group_map": {}}
    chosen = {known: drawn(task, asked.suite)}
    template = task.OUTPUT_TYPE == "generate_until"
    rows = _run(model, loaded, template, chosen, spec.system, spec.confirm_unsafe)[known]
    where = f"{asked.suite.name}: task {name}"
    return foreign_scores(spec, rows, where, lower_is_better(task))


def _run(
    model: Any,
    tasks: dict[str, Any],
    template: bool,
    samples: dict[str, list[int]] | None = None,
    system: str | None = None,
    unsafe: bool = False,
) -> Mapping[str, Any]:
    """lm-eval's logged samples per task; its caches, seeds and statistics are never used."""
    from lm_eval.evaluator import evaluate as ask

    found: Any = ask(
        lm=model,
        task_dict=tasks,
        samples=samples,
        bootstrap_iters=0,
        log_samples=True,
        system_instruction=system,
        apply_chat_template=template,
        fewshot_as_multiturn=template,
        confirm_run_unsafe_code=unsafe,
    )
    return found["samples"]


def _by_side(
    suite: SuiteSpec,
    items: Sequence[Item],
    found: Sequence[ItemScore],
    model: str,
    record: Mapping[str, Any],
) -> tuple[SuiteResult, ...]:
    if suite.sides is None:
        return (SuiteResult(suite.name, model, tuple(found), record),)
    return tuple(
        SuiteResult(
            f"{suite.name}/{side}",
            model,
            tuple(
                score
                for item, score in zip(items, found, strict=False)
                if item.fields["side"] == side
            ),
            record,
        )
        for side in suite.sides
    )


def _named(result: SuiteResult, model: str) -> SuiteResult:
    """A recalled result under the name that the model is asked for by now."""
    return SuiteResult(result.suite, model, result.items, result.record)


_LOGGERS = ("lm_eval", "datasets")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Run a block without lm-eval's warnings and tqdm bars; errors are raised as ever."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
