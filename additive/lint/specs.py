"""Faults of specs that show only beside other files: unknown names, files in the wrong place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from additive.errors import UnknownName, UsageError, did_you_mean
from additive.graders import KINDS
from additive.merge.methods import MERGEKIT, METHODS
from additive.merge.steps import STEPS
from additive.spec.recipe import DEFAULT_METHOD, MergeSpec
from additive.spec.yaml import place, read_yaml
from additive.types.references import NAME, RESERVED, parse_reference
from additive.workspace.workspace import Workspace


def domain_faults(workspace: Workspace, name: str) -> Iterator[str]:
    """Files that are both training and validation data."""
    data = workspace.domain(name).data
    path = workspace.domain_directory(name) / "domain.yaml"
    for index, file in enumerate(data.validation):
        if file in data.train:
            at = _at(workspace, path, "data", "validation", index)
            yield f"{at}: data.validation holds {file!r}, which is training data"


def suite_faults(workspace: Workspace, name: str) -> Iterator[str]:
    """A domain or a grader that the workspace does not have."""
    spec, known = workspace.suite(name), workspace.domain_names()
    path = workspace.evals / f"{name}.yaml"
    for index, task in enumerate(spec.tasks):
        problem = grader_problem(workspace, task.grader)
        if problem:
            yield f"{_at(workspace, path, 'tasks', index, 'grader')}: {problem}"
    if spec.domain is not None and spec.domain not in known:
        at = _at(workspace, path, "domain")
        expected = f"one of {', '.join(known)}" if known else "a domain of this workspace"
        hint = did_you_mean(spec.domain, known)
        yield f"{at}: domain is {spec.domain!r}; expected {expected}{hint}"


def recipe_faults(workspace: Workspace, name: str) -> Iterator[str]:
    """Sources and methods that do not exist."""
    if workspace.is_mergekit(name):
        yield from _mergekit_faults(workspace, name)
        return
    spec = workspace.recipe(name)
    yield from merge_faults(spec)
    known = sorted({*workspace.domain_names(), *workspace.store.names()})
    for index, source in enumerate(spec.sources):
        problem = _source_problem(workspace, source.domain, known)
        if problem:
            path = workspace.root / "merges" / f"{name}.yaml"
            yield f"{_at(workspace, path, 'sources', index)}: {problem}"


def _mergekit_faults(workspace: Workspace, name: str) -> Iterator[str]:
    """A method that mergekit does not have; the models are looked for when it is run."""
    spec, file = workspace.mergekit(name)
    if spec.merge_method not in MERGEKIT:
        error = UnknownName("method of mergekit", spec.merge_method, MERGEKIT)
        yield file.fault(str(error), "merge_method")


def merge_faults(spec: MergeSpec) -> Iterator[str]:
    """Methods and steps that do not exist, of a recipe or of the workspace's defaults."""
    methods = METHODS.names()
    named = [
        ("merge method", spec.method, (DEFAULT_METHOD, *methods)),
        *(("merge step", step, STEPS.names()) for step in (*spec.before, *spec.after)),
        *(("merge method", rule.method, ("base", *methods)) for rule in spec.rules),
    ]
    for kind, method, known in named:
        if method.name not in known:
            yield f"{method.position()}: {UnknownName(kind, method.name, known)}"


def stray_faults(workspace: Workspace, covers: Callable[[Path], bool]) -> Iterator[str]:
    """Directories and files under domains/, evals/ and merges/ that no command would read."""
    taken = ", ".join(RESERVED)
    for path in sorted((workspace.root / "domains").glob("*")):
        if not covers(path) or path.name.startswith(".") or not path.is_dir():
            continue
        display_path = workspace.display_path(path)
        if not NAME.fullmatch(path.name):
            yield f"{display_path!r}: {_bad_name(path.name)}"
        elif path.name in RESERVED:
            yield f"{display_path!r}: name is {path.name!r}; expected none of {taken}"
        elif not (path / "domain.yaml").is_file():
            yield f"{display_path}/domain.yaml: file is missing"
    if covers(workspace.evals):
        yield from workspace.stray_suites()
    for path in sorted((workspace.root / "merges").glob("*.y*ml")):
        if covers(path) and not NAME.fullmatch(path.stem):
            yield f"{workspace.display_path(path)!r}: {_bad_name(path.stem)}"
        elif covers(path) and path.suffix == ".yml":
            yield f"{workspace.display_path(path)}: suffix is .yml; expected .yaml"


def grader_problem(workspace: Workspace, grader: str) -> str | None:
    """What is wrong with a grader's name; None for a built-in one or a Python file in evals/."""
    if grader.endswith(".py"):
        is_file = (workspace.evals / grader).is_file()
        return None if is_file else f"verifier evals/{grader} is missing"
    return None if grader in KINDS else str(UnknownName("grader", grader, KINDS))


def _source_problem(workspace: Workspace, source: str, known: list[str]) -> str | None:
    if "/" in source:
        is_directory = (workspace.root / source).is_dir()
        return None if is_directory else f"source is {source!r}; expected a directory that exists"
    try:
        reference = parse_reference(source)
    except UsageError as error:
        return error.message
    if reference.name in known:
        return None
    return str(UnknownName("source", reference.name, known))


def _at(workspace: Workspace, path: Path, *keys: str | int) -> str:
    return str(place(read_yaml(path, workspace.display_path(path)), keys))


def _bad_name(name: str) -> str:
    return f"name is {name!r}; expected a name that matches [a-z0-9][a-z0-9_-]*"
