"""Everything about a workspace that can be judged without a model: specs, rows, digests, leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from additive.errors import RefusedError, ResourceError, SpecError, UsageError
from additive.lint.findings import LintFinding, LintReport
from additive.lint.rows import check_domain, check_suite, shared_prompts
from additive.lint.specs import (
    domain_faults,
    merge_faults,
    recipe_faults,
    stray_faults,
    suite_faults,
)
from additive.overlap.check import leaks_between
from additive.spec.rows import Scanner, scan_rows
from additive.workspace.inputs import (
    base_identity,
    data_inputs,
    item_files,
    read_lock,
    row_files,
)
from additive.workspace.workspace import MARKER, Workspace

_SPLIT_HELP = "drop these rows from the validation data: they must not be trained on"


_LEAK_HELP = "drop these rows from the training data, or these items from the suite"


@dataclass
class _Findings:
    """What has been found so far; paths are shown from `root`."""

    root: Path
    findings: list[LintFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, work: Callable[[], object]) -> bool:
        """Whether some work went through; its errors are findings."""
        try:
            work()
        except SpecError as error:
            self.findings += [LintFinding("spec", text, error.help) for text in error.problems]
        except RefusedError as error:
            text = str(error).replace(f"{self.root}/", "")
            self.findings.append(LintFinding("integrity", text, error.help))
        except UsageError as error:
            self.findings.append(LintFinding("spec", str(error), error.help))
        else:
            return True
        return False


def lint_workspace(workspace: Workspace, paths: Sequence[Path] = ()) -> LintReport:
    """Judge a workspace, or only what lies below some paths of it.

    Raises: UsageError for a path that is no part of the workspace.
    """
    scope = _Scope(workspace, tuple(paths))
    found = _Findings(workspace.root)
    if not found.attempt(lambda: workspace.spec):
        return LintReport(tuple(found.findings))
    found.findings += [LintFinding("spec", text) for text in stray_faults(workspace, scope.covers)]
    domains = [n for n in scope.domains if found.attempt(lambda n=n: workspace.domain(n))]
    suites = [n for n in scope.suites if found.attempt(lambda n=n: workspace.suite(n))]
    recipes = [n for n in scope.recipes if found.attempt(lambda n=n: _read(workspace, n))]
    if scope.covers(workspace.root / MARKER):
        found.findings += [LintFinding("spec", text) for text in merge_faults(workspace.spec.merge)]
    for text in _crossed(workspace, domains, suites, recipes):
        found.findings.append(LintFinding("spec", text))
    counts = {"domains": len(domains), "suites": len(suites), "recipes": len(recipes)}
    scan = cache(scan_rows)  # what rows say is asked three times
    rows = _count(domains, lambda name: check_domain(workspace, name, scan), found)
    items = _count(suites, lambda name: check_suite(workspace, name, scan), found)
    leaks = _leaks(workspace, scope, tuple(rows), tuple(items), found, scan)
    if not scope.paths:
        _lock(workspace, found)
    counts |= {"rows": sum(rows.values()), "items": sum(items.values()), "leaks": leaks}
    return LintReport(tuple(found.findings), tuple(found.notes), counts)


def _read(workspace: Workspace, name: str) -> None:
    """Read a recipe, which may be a mergekit file."""
    if workspace.is_mergekit(name):
        workspace.mergekit(name)
    else:
        workspace.recipe(name)


class _Scope:
    """What is asked for: everything, or what lies below (or holds) one of the paths."""

    def __init__(self, workspace: Workspace, paths: tuple[Path, ...]) -> None:
        self.paths = tuple(path.absolute() for path in paths)
        self.root = workspace.root
        for path in self.paths:
            if not path.exists():
                raise UsageError("there is no such file or directory", where=str(path))
            if not path.is_relative_to(self.root):
                raise UsageError(f"is outside the workspace {self.root}", where=str(path))
        named = workspace.root
        self.domains = self._covered(workspace.domain_names(), workspace.domain_directory)
        self.suites = self._covered(workspace.suite_names(), lambda n: named / f"evals/{n}.yaml")
        self.recipes = self._covered(workspace.recipe_names(), lambda n: named / f"merges/{n}.yaml")

    def covers(self, path: Path) -> bool:
        """Whether a path is asked for."""
        related = (path.is_relative_to(p) or p.is_relative_to(path) for p in self.paths)
        return not self.paths or any(related)

    def _covered(self, names: Sequence[str], place: Callable[[str], Path]) -> tuple[str, ...]:
        return tuple(name for name in names if self.covers(place(name)))


def _crossed(
    workspace: Workspace, domains: Sequence[str], suites: Sequence[str], recipes: Sequence[str]
) -> Iterator[str]:
    """Faults that need more than one file to see."""
    for name in domains:
        yield from domain_faults(workspace, name)
    for name in suites:
        yield from suite_faults(workspace, name)
    for name in recipes:
        yield from recipe_faults(workspace, name)


def _count(names: Sequence[str], check: Callable[[str], int], found: _Findings) -> dict[str, int]:
    """How many rows each has, of those whose files are whole; faults are findings."""
    counts: dict[str, int] = {}
    for name in names:
        found.attempt(lambda n=name: counts.update({n: check(n)}))
    return counts


def _leaks(
    workspace: Workspace,
    scope: _Scope,
    domains: Sequence[str],
    suites: Sequence[str],
    found: _Findings,
    scan: Scanner,
) -> int:
    """Held-out items in training or validation rows, and validation rows that are trained on.

    Of a part of the workspace: its domains against every suite, its suites against every domain.
    """
    before = len(found.findings)

    def within(name: str) -> None:
        for text in shared_prompts(workspace, name, scan):
            found.findings.append(LintFinding("leak", text, _SPLIT_HELP))

    def across(rows: Sequence[str], held_out: Sequence[str]) -> None:
        train = [file for name in rows for file in row_files(workspace, name)]
        items = [file for name in held_out for file in item_files(workspace, name)]
        for leak in leaks_between(train, items, workspace.cache, scan):
            found.findings.append(LintFinding("leak", str(leak), _LEAK_HELP))

    for name in domains:
        found.attempt(lambda n=name: within(n))
    if not scope.paths:
        found.attempt(lambda: across(domains, suites))
    else:
        found.attempt(lambda: across(domains, workspace.suite_names()))
        others = [name for name in workspace.domain_names() if name not in domains]
        found.attempt(lambda: across(others, suites))
    return len(found.findings) - before


def _lock(workspace: Workspace, found: _Findings) -> None:
    """The base must be the one that is locked; data may move on, which is noted."""
    locked: dict[str, dict[str, str]] = {}

    def read() -> None:
        locked.update(read_lock(workspace))

    if not found.attempt(read):
        return
    try:
        found.attempt(lambda: base_identity(workspace))
    except ResourceError as error:
        found.notes.append(f"base not checked: {error}")
    if not locked or any(finding.kind == "spec" for finding in found.findings):
        return
    now = data_inputs(workspace)
    for section in ("domains", "evals"):
        for name, digest in sorted(now[section].items()):
            if locked.get(section, {}).get(name, digest) != digest:
                found.notes.append(f"{name} changed since {workspace.lockfile.name} was written")
