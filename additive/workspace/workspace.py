"""Names to files: the workspace's root, its directories, and its specs.

additive.yaml  additive.lock  domains/<name>/domain.yaml  evals/<suite>.yaml  merges/<name>.yaml
.additive/{store,runs,locks,cache}/  reports/

`demo_source` is the workspace of that kind which ships with additive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from additive.artifacts.lockfile import read_lockfile
from additive.artifacts.store import Store
from additive.errors import ResourceError, SpecError, UnknownName, UsageError
from additive.spec.domain import DomainSpec
from additive.spec.loader import from_node, load
from additive.spec.mergekit import MergekitSpec, is_mergekit
from additive.spec.recipe import Recipe
from additive.spec.suite import SuiteSpec
from additive.spec.workspace import WorkspaceSpec
from additive.spec.yaml import Located, Node, read_yaml
from additive.types.references import NAME
from additive.workspace.bases import ResolvedBase, resolve_base
from additive.workspace.environment import Environment


def demo_source() -> Path:
    """The shipped demo workspace: package data in a wheel, else the checkout.

    Raises: ResourceError when neither is there.
    """
    package = Path(str(files("additive")))
    for directory in (package / "data" / "demo", package.parent):
        if (directory / "additive.yaml").is_file() and (directory / "domains").is_dir():
            return directory
    raise ResourceError(
        "the demo workspace is not there",
        where=str(package),
        help="install additive-merge again",
    )


MARKER = "additive.yaml"


LOCKFILE = "additive.lock"


@dataclass(frozen=True)
class SuiteUse:
    """A suite in one check: `role` is what it is there for, given the domains that are merged."""

    name: str
    spec: SuiteSpec
    role: Literal["target", "guard"]
    directory: Path


def find_workspace(start: Path) -> Workspace:
    """The workspace that holds a directory: the nearest parent with additive.yaml.

    Raises: UsageError when there is none.
    """
    start = start.absolute()
    if not start.is_dir():
        raise UsageError(
            "is not a directory", where=str(start), help="give an existing one with -C DIR"
        )
    for directory in (start, *start.parents):
        if (directory / MARKER).is_file():
            return Workspace(directory)
    raise UsageError(
        f"no {MARKER} here or above", where=str(start), help="additive init my-skills --base tiny"
    )


class Workspace:
    """Names to files; every spec is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._domains: dict[str, DomainSpec] = {}
        self._suites: dict[str, SuiteSpec] = {}

    @cached_property
    def spec(self) -> WorkspaceSpec:
        """additive.yaml. Raises: SpecError."""
        return load(self.root / MARKER, WorkspaceSpec, display_path=MARKER)

    @cached_property
    def store(self) -> Store:
        """The frozen artifacts."""
        return Store(self.state / "store")

    @property
    def state(self) -> Path:
        """`.additive/`, everything that can be made again, and the store."""
        return self.root / ".additive"

    @property
    def runs(self) -> Path:
        """Working state of runs."""
        return self.state / "runs"

    @property
    def locks(self) -> Path:
        """Lock files."""
        return self.state / "locks"

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.state / "cache"

    @property
    def reports(self) -> Path:
        """Reports for people."""
        return self.root / "reports"

    @property
    def evals(self) -> Path:
        """The suites' directory; their data is named relative to it."""
        return self.root / "evals"

    @property
    def lockfile(self) -> Path:
        """additive.lock."""
        return self.root / LOCKFILE

    def domain_names(self) -> tuple[str, ...]:
        """Names of the domains, sorted."""
        return _names(self.root / "domains", "*/domain.yaml", lambda path: path.parent.name)

    def suite_names(self) -> tuple[str, ...]:
        """Names of the suites, sorted."""
        return _names(self.evals, "*.yaml", lambda path: path.stem)

    def recipe_names(self) -> tuple[str, ...]:
        """Names of the recipes, sorted."""
        return _names(self.root / "merges", "*.yaml", lambda path: path.stem)

    def domain_directory(self, name: str) -> Path:
        """Where a domain's files are."""
        return self.root / "domains" / name

    def data_name(self, name: str, path: Path) -> str:
        """A data file of a domain as its spec names it, relative to the domain's directory.

        Two files of one name in different folders are two inputs.
        """
        return Path(os.path.relpath(path, self.domain_directory(name))).as_posix()

    def domain(self, name: str) -> DomainSpec:
        """A domain's spec. Raises: UnknownName, SpecError."""
        if name not in self._domains:
            _known("domain", name, self.domain_names())
            path = self.domain_directory(name) / "domain.yaml"
            self._domains[name] = load(
                path, DomainSpec, name=name, display_path=self.display_path(path)
            )
        return self._domains[name]

    def data_files(self, name: str, split: Literal["train", "validation"]) -> tuple[Path, ...]:
        """The data files of a domain, in the spec's order. Raises: as `domain`."""
        data = self.domain(name).data
        files = data.train if split == "train" else data.validation
        return tuple(self.domain_directory(name) / file for file in files)

    def suite(self, name: str) -> SuiteSpec:
        """A suite's spec, with the workspace's gate where it has none.

        Raises: UnknownName, SpecError.
        """
        if name not in self._suites:
            _known("suite", name, self.suite_names())
            path = self.evals / f"{name}.yaml"
            spec = load(path, SuiteSpec, name=name, display_path=self.display_path(path))
            self._suites[name] = (
                spec if spec.gate else spec.model_copy(update={"gate": self.spec.gate})
            )
        return self._suites[name]

    def item_files(self, name: str) -> tuple[Path, ...]:
        """The item files of a suite; tasks of lm-eval have none. Raises: as `suite`."""
        return tuple(self.evals / task.data for task in self.suite(name).tasks if task.data)

    def task_files(self, name: str) -> tuple[Path, ...]:
        """The files that may define the lm-eval tasks of a suite.

        If a task is a YAML file, these are all files below evals/, and those that it names.

        Raises: as `suite`.
        """
        tasks = [self.evals / task.lm_eval for task in self.suite(name).tasks if task.lm_eval]
        local = [path for path in tasks if path.is_file()]
        if not local:
            return ()
        inside = [path for path in self.evals.rglob("*") if path.is_file()]
        named = [
            Path(word)
            for path in (*local, *(path for path in inside if path.suffix in (".yaml", ".yml")))
            for word in re.findall(r"[^\s'\",\[\]{}]+", path.read_text("utf-8", "replace"))
            if "/" in word and len(word) < 4096
        ]
        outside = [path for path in named if path.is_absolute() and path.is_file()]
        beside = [p.parent / path for p in local for path in named if not path.is_absolute()]
        found = {path.resolve() for path in (*inside, *outside, *beside) if path.is_file()}
        return tuple(sorted(found))

    def stray_suites(self) -> tuple[str, ...]:
        """Faults of files in evals/ that look like suites and would never be read."""
        return tuple(fault for path in sorted(self.evals.glob("*")) if (fault := self._stray(path)))

    def _stray(self, path: Path) -> str | None:
        display_path = self.display_path(path)
        if path.suffix.lower() not in (".yaml", ".yml") or path.is_dir():
            return None
        if not NAME.fullmatch(path.stem):
            return (
                f"{display_path!r}: name is {path.stem!r}; expected a name that matches"
                " [a-z0-9][a-z0-9_-]*"
            )
        if path.suffix != ".yaml":
            return f"{display_path}: suffix is {path.suffix}; expected .yaml"
        return None if path.is_file() else f"{display_path}: link leads nowhere; expected a suite"

    def verifier_files(self) -> tuple[Path, ...]:
        """Users' graders: every Python file under evals/, sorted."""
        return tuple(sorted(self.evals.rglob("*.py")))

    def suites(self, domains: Sequence[str]) -> tuple[SuiteUse, ...]:
        """Every suite, sorted by name, with its role in a check of these domains.

        Targets of domains that are not merged run as guards, unless nobody wrote their items yet
        (see `unwritten_suites`). Without a single target among them there is nothing to check
        against. Raises: as `suite`; SpecError for files in evals/ that would never be read.
        """
        stray = self.stray_suites()
        if stray:
            raise SpecError(list(stray), help="rename the file, or move it out of evals/")
        left_out = self.unwritten_suites(domains)
        return tuple(
            self._use(name, domains) for name in self.suite_names() if name not in left_out
        )

    def unwritten_suites(self, domains: Sequence[str]) -> tuple[str, ...]:
        """Suites of domains that are not merged whose item files are all there and empty, as
        `additive init` leaves them. Raises: as `suite`.
        """
        return tuple(
            name
            for name in self.suite_names()
            if self.suite(name).domain not in (None, *domains) and self._is_empty(name)
        )

    def recipe(self, name: str) -> Recipe:
        """A recipe. Raises: UnknownName, SpecError."""
        _known("recipe", name, self.recipe_names())
        path = self.root / "merges" / f"{name}.yaml"
        return load(path, Recipe, name=name, display_path=self.display_path(path))

    def is_mergekit(self, name: str) -> bool:
        """Whether a recipe is a mergekit file. Raises: UnknownName, SpecError."""
        return is_mergekit(self._recipe_node(name))

    def mergekit(self, name: str) -> tuple[MergekitSpec, Located]:
        """A mergekit file among the recipes, with the places of its values.

        Raises: UnknownName, SpecError.
        """
        root = self._recipe_node(name)
        return from_node(root, MergekitSpec), Located(root)

    def _recipe_node(self, name: str) -> Node:
        _known("recipe", name, self.recipe_names())
        path = self.root / "merges" / f"{name}.yaml"
        return read_yaml(path, self.display_path(path))

    @cached_property
    def base(self) -> ResolvedBase:
        """The base's files; a Hub id is fetched into the local cache, at the locked revision.

        Raises: UsageError when there is no such base; ResourceError when the network is needed and
        not there.
        """
        wanted = self.spec.base
        revision = wanted.revision or self.pinned_revision()
        return resolve_base(wanted.model, self.root, revision, offline=Environment.read().offline)

    def base_directory(self) -> Path:
        """The directory of the base's files. Raises: as `base`."""
        return self.base.directory

    def pinned_revision(self) -> str | None:
        """The Hub revision that additive.lock pins for this base, if any."""
        pinned = read_lockfile(self.lockfile).get("base", {})
        return pinned.get("revision") if pinned.get("id") == self.spec.base.model else None

    def recall_file(self) -> Path | None:
        """The base's own rows: `base.recall`, else recall.jsonl beside its weights, else None."""
        if self.spec.base.recall is not None:
            return self.root / self.spec.base.recall
        beside = self.base_directory() / "recall.jsonl"
        return beside if beside.is_file() else None

    def display_path(self, path: Path) -> str:
        """A path as messages show it: relative to the workspace when inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def _is_empty(self, suite: str) -> bool:
        files = self.item_files(suite)
        return bool(files) and all(p.is_file() and not p.stat().st_size for p in files)

    def _use(self, name: str, domains: Sequence[str]) -> SuiteUse:
        spec = self.suite(name)
        role = "target" if spec.role == "target" and spec.domain in domains else "guard"
        return SuiteUse(name, spec, role, self.evals)


def _names(directory: Path, pattern: str, name_of: Callable[[Path], str]) -> tuple[str, ...]:
    names = (name_of(path) for path in directory.glob(pattern) if path.is_file())
    return tuple(sorted(name for name in names if NAME.fullmatch(name)))


def _known(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UnknownName(kind, name, known)
