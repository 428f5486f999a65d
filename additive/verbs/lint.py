"""Check specs, rows, digests and leaks of a workspace, without a model and without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


def lint_workspace(workspace: Workspace, paths: Sequence[Path] = ()) -> LintReport:
    """Check a whole workspace, or only what lies below some paths of it.

    Raises: UsageError for a path that is not part of the workspace.
    """
    scope = _Scope(workspace, paths)
    log = _Log(workspace.root)
    if not log.attempt(lambda: workspace.spec):
        return LintReport(tuple(log.findings))
    log.add_faults(stray_faults(workspace, scope.covers))
    domains = [n for n in scope.domains if log.attempt(lambda n=n: workspace.domain(n))]
    suites = [n for n in scope.suites if log.attempt(lambda n=n: workspace.suite(n))]
    recipes = [n for n in scope.recipes if log.attempt(lambda n=n: _read_recipe(workspace, n))]
    if scope.covers(workspace.root / MARKER):
        log.add_faults(merge_faults(workspace.spec.merge))
    for names, faults_of in (
        (domains, domain_faults),
        (suites, suite_faults),
        (recipes, recipe_faults),
    ):
        for name in names:
            log.add_faults(faults_of(workspace, name))
    counts = {"domains": len(domains), "suites": len(suites), "recipes": len(recipes)}
    scan = cache(scan_rows)  # three checks read the same rows
    rows = _count(domains, lambda name: check_domain(workspace, name, scan), log)
    items = _count(suites, lambda name: check_suite(workspace, name, scan), log)
    leaks = _leaks(workspace, scope, tuple(rows), tuple(items), log, scan)
    if not scope.paths:
        _check_lock(workspace, log)
    counts |= {"rows": sum(rows.values()), "items": sum(items.values()), "leaks": leaks}
    return LintReport(tuple(log.findings), tuple(log.notes), counts)


@dataclass
class _Log:
    """Findings and notes so far; messages show paths from `root`."""

    root: Path
    findings: list[LintFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_faults(self, faults: Iterable[str]) -> None:
        """Add faults of specs."""
        self.findings += [LintFinding("spec", text) for text in faults]

    def attempt(self, work: Callable[[], object]) -> bool:
        """Whether some work succeeded; its errors become findings."""
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


class _Scope:
    """What is to be checked: everything, or what lies below (or holds) one of the paths."""

    def __init__(self, workspace: Workspace, paths: Sequence[Path]) -> None:
        self.paths = tuple(path.absolute() for path in paths)
        root = workspace.root
        for path in self.paths:
            if not path.exists():
                raise UsageError("there is no such file or directory", where=str(path))
            if not path.is_relative_to(root):
                raise UsageError(f"is outside the workspace {root}", where=str(path))
        self.domains = self._covered(workspace.domain_names(), workspace.domain_directory)
        self.suites = self._covered(workspace.suite_names(), lambda n: root / f"evals/{n}.yaml")
        self.recipes = self._covered(workspace.recipe_names(), lambda n: root / f"merges/{n}.yaml")

    def covers(self, path: Path) -> bool:
        """Whether a path is to be checked."""
        related = (path.is_relative_to(p) or p.is_relative_to(path) for p in self.paths)
        return not self.paths or any(related)

    def _covered(self, names: Sequence[str], path_of: Callable[[str], Path]) -> tuple[str, ...]:
        return tuple(name for name in names if self.covers(path_of(name)))


def _read_recipe(workspace: Workspace, name: str) -> None:
    """Read a recipe, which may be a mergekit file."""
    if workspace.is_mergekit(name):
        workspace.mergekit(name)
    else:
        workspace.recipe(name)


def _count(names: Sequence[str], check: Callable[[str], int], log: _Log) -> dict[str, int]:
    """The number of rows by name, of those whose files have no fault."""
    counts: dict[str, int] = {}
    for name in names:
        log.attempt(lambda n=name: counts.update({n: check(n)}))
    return counts


def _leaks(
    workspace: Workspace,
    scope: _Scope,
    domains: Sequence[str],
    suites: Sequence[str],
    log: _Log,
    scan: Scanner,
) -> int:
    """Held-out items in training or validation rows, and validation rows that are trained on.

    For a part of the workspace: its domains against every suite, its suites against every domain.
    """
    before = len(log.findings)

    def within(name: str) -> None:
        for text in shared_prompts(workspace, name, scan):
            log.findings.append(LintFinding("leak", text, _SPLIT_HELP))

    def across(rows: Sequence[str], held_out: Sequence[str]) -> None:
        train = [file for name in rows for file in row_files(workspace, name)]
        items = [file for name in held_out for file in item_files(workspace, name)]
        for leak in leaks_between(train, items, workspace.cache, scan):
            log.findings.append(LintFinding("leak", str(leak), _LEAK_HELP))

    for name in domains:
        log.attempt(lambda n=name: within(n))
    if not scope.paths:
        log.attempt(lambda: across(domains, suites))
    else:
        log.attempt(lambda: across(domains, workspace.suite_names()))
        others = [name for name in workspace.domain_names() if name not in domains]
        log.attempt(lambda: across(others, suites))
    return len(log.findings) - before


def _check_lock(workspace: Workspace, log: _Log) -> None:
    """Check that the base is the locked one, and note data that has changed since."""
    locked: dict[str, dict[str, str]] = {}
    if not log.attempt(lambda: locked.update(read_lock(workspace))):
        return
    try:
        log.attempt(lambda: base_identity(workspace))
    except ResourceError as error:
        log.notes.append(f"base not checked: {error}")
    if not locked or any(finding.kind == "spec" for finding in log.findings):
        return
    now = data_inputs(workspace)
    for section in ("domains", "evals"):
        for name, digest in sorted(now[section].items()):
            if locked.get(section, {}).get(name, digest) != digest:
                log.notes.append(f"{name} changed since {workspace.lockfile.name} was written")
