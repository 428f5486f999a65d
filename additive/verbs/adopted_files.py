"""An adopted domain's files: its domain.yaml, and its held-out questions as a suite.

Whatever a person wrote is never overwritten: only scaffolds that nobody touched, and what an
earlier adoption wrote, byte for byte.
"""

from __future__ import annotations

from pathlib import Path

from additive.adopt.questions import Questions
from additive.artifacts.base_check import is_adopted
from additive.errors import SpecError, UsageError
from additive.graders import KINDS
from additive.lint.rows import item_faults
from additive.lint.specs import grader_problem
from additive.spec.docs import commented, model_of
from additive.spec.loader import loads
from additive.spec.suite import SuiteSpec, TaskSpec
from additive.types.digests import digest_bytes, digest_file
from additive.verbs.init import SCHEMAS, domain_text, suite_text
from additive.workspace.workspace import Workspace

_TASK = "held-out"


_DOMAIN = """\
# yaml-language-server: $schema=../../{schemas}/domain.json
# {name} was trained elsewhere and adopted; nothing here trains it.
version: 1
adopted: true
# Rows on which merges may choose their scale, never held-out ones:
# data: {{validation: [validation.jsonl]}}
"""


_README = """\
# {name}

Adopted with `additive adopt`: trained elsewhere, frozen here. `additive show {name}` says what
it is and how sure it is that it belongs to this base.

* Trained on: (data and its license, which no adapter carries)
* Held-out questions must not have been in that data; without it nobody can check that here.
"""


def suite_name(domain: str) -> str:
    """The suite of an adopted domain's questions."""
    return f"{domain}-held-out"


def check_name_is_free(workspace: Workspace, name: str) -> None:
    """Refuse a name that something else has: a domain that is trained here, or a merge.

    Raises: UsageError.
    """
    help = f"choose another name, for example --as {name}-2"
    versions = workspace.store.current(name)
    if versions and not is_adopted(versions[-1].manifest):
        raise UsageError(
            f"name {name!r} is taken by {versions[-1].reference}, which was made here", help=help
        )
    if name not in workspace.domain_names() or _is_scaffold(workspace, name):
        return
    if not workspace.domain(name).adopted:
        raise UsageError(
            f"name {name!r} is taken by domains/{name}, which is trained here", help=help
        )


def write_domain(workspace: Workspace, name: str) -> None:
    """Write domain.yaml and README.md, unless the domain was adopted before."""
    directory = workspace.domain_directory(name)
    if name in workspace.domain_names() and not _is_scaffold(workspace, name):
        return
    for split in ("train", "validation"):
        path = directory / f"{split}.jsonl"
        if path.is_file() and not path.stat().st_size:
            path.unlink()
    _write(directory / "domain.yaml", _DOMAIN.format(name=name, schemas=SCHEMAS))
    _write(directory / "README.md", _README.format(name=name))


def check_suite(workspace: Workspace, name: str, questions: Questions, shown: str) -> None:
    """Refuse questions that their grader cannot grade, and a suite that a person wrote.

    Raises: SpecError, UsageError.
    """
    problem = grader_problem(workspace, questions.grader)
    if problem:
        raise UsageError(f"--grader: {problem}", help=f"known: {', '.join(KINDS)}, or a file.py")
    spec = loads(_suite(name, questions), SuiteSpec, name=suite_name(name))
    faults = item_faults(questions.rows, spec, spec.tasks[0], shown)
    if faults:
        raise SpecError(faults, help=f"they are graded as {questions.grader}; see --grader")
    path, items = _places(workspace, name)
    if not path.exists() or _is_ours(path, items, name) or _holds(items, questions):
        return
    raise UsageError(
        f"{workspace.shown(path)} is there with other questions when --suite would write it",
        help=f"remove it, or put the questions into {workspace.shown(items)} yourself",
    )


def write_suite(workspace: Workspace, name: str, questions: Questions) -> None:
    """Write the suite and its items; a suite that has these questions already stays as it is."""
    path, items = _places(workspace, name)
    if path.exists() and _holds(items, questions) and not _is_ours(path, items, name):
        return
    _write(items, questions.text())
    _write(path, _suite(name, questions))


def _places(workspace: Workspace, name: str) -> tuple[Path, Path]:
    suite = suite_name(name)
    return workspace.evals / f"{suite}.yaml", workspace.evals / "tasks" / f"{suite}.jsonl"


def _is_scaffold(workspace: Workspace, name: str) -> bool:
    """Whether a domain is what `additive init` wrote, without a row."""
    directory = workspace.domain_directory(name)
    text = (directory / "domain.yaml").read_text(encoding="utf-8")
    return text == domain_text(name) and not any(
        path.stat().st_size for path in directory.glob("*.jsonl")
    )


def _holds(items: Path, questions: Questions) -> bool:
    return items.is_file() and digest_file(items) == digest_bytes(questions.text().encode())


def _is_ours(path: Path, items: Path, name: str) -> bool:
    """Whether suite and items are an untouched scaffold, or just what an adoption wrote."""
    text = path.read_text(encoding="utf-8")
    if text == suite_text(name):
        return not items.is_file() or not items.stat().st_size
    try:
        spec = loads(text, SuiteSpec, name=suite_name(name))
    except SpecError:
        return False
    task = spec.tasks[0]
    whole = items.is_file() and task.sha256 == digest_file(items)
    return whole and text == _suite_of(name, task, tuple(spec.sides or ()))


def _suite(name: str, questions: Questions) -> str:
    task = TaskSpec(
        name=_TASK,
        data=f"tasks/{suite_name(name)}.jsonl",
        sha256=digest_bytes(questions.text().encode()),
        grader=questions.grader,
        kind="cloze" if questions.kind == "cloze" else "generate",
        max_tokens=questions.max_tokens,
    )
    return _suite_of(name, task, questions.sides if len(questions.sides) > 1 else ())


def _suite_of(name: str, task: TaskSpec, sides: tuple[str, ...]) -> str:
    keys = ("name", "data", "sha256", "grader", "kind", "max_tokens")
    given = {
        "version": 1,
        "description": f"held-out questions of {name}, as adopted",
        "domain": name,
        "tasks": [{key: getattr(task, key) for key in keys}],
    }
    judged = {"sides": {side: {"margin": 0.05} for side in sorted(sides)}} if sides else {}
    return commented(model_of("suite"), given | judged, f"../{SCHEMAS}/suite.json")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
