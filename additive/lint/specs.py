"""Faults of specs that one file alone cannot show: names that lead nowhere, files out of place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from additive.errors import UsageError, did_you_mean
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
        hint = did_you_mean(spec.merge_method, MERGEKIT)
        yield file.fault(f"unknown method of mergekit {spec.merge_method!r}{hint}", "merge_method")


def merge_faults(spec: MergeSpec) -> Iterator[str]:
    """Methods and steps that do not exist, of a recipe or of the workspace's defaults."""
    methods = (DEFAULT_METHOD, *METHODS.names())
    if spec.method.name not in methods:
        hint = did_you_mean(spec.method.name, methods)
        yield f"{spec.method.position()}: unknown merge method {spec.method.name!r}{hint}"
    for step in (*spec.before, *spec.after):
        if step.name not in STEPS:
            hint = did_you_mean(step.name, STEPS.names())
            yield f"{step.position()}: unknown merge step {step.name!r}{hint}"
    for rule in spec.rules:
        if rule.method.name not in ("base", *METHODS.names()):
            hint = did_you_mean(rule.method.name, METHODS.names())
            yield f"{rule.method.position()}: unknown merge method {rule.method.name!r}{hint}"


def stray_faults(workspace: Workspace, covers: Callable[[Path], bool]) -> Iterator[str]:
    """Directories and files under domains/, evals/ and merges/ that nothing would ever read."""
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
    """A grader is a built-in one, or a user's verifier: a Python file under evals/."""
    if grader.endswith(".py"):
        there = (workspace.evals / grader).is_file()
        return None if there else f"verifier evals/{grader} is missing"
    if grader in KINDS:
        return None
    return f"unknown grader {grader!r}{did_you_mean(grader, KINDS)}"


def _source_problem(workspace: Workspace, source: str, known: list[str]) -> str | None:
    if "/" in source:
        there = (workspace.root / source).is_dir()
        return None if there else f"source is {source!r}; expected a directory that exists"
    try:
        reference = parse_reference(source)
    except UsageError as error:
        return error.message
    if reference.name in known:
        return None
    return f"unknown source {reference.name!r}{did_you_mean(reference.name, known)}"


def _at(workspace: Workspace, path: Path, *keys: str | int) -> str:
    return str(place(read_yaml(path, workspace.display_path(path)), keys))


def _bad_name(name: str) -> str:
    return f"name is {name!r}; expected a name that matches [a-z0-9][a-z0-9_-]*"
