"""Create a workspace: the demo's domains on the bundled base, empty commented ones on any other.

It is written beside its place and moved there at the end, additive.yaml last, so that an
interruption leaves a whole workspace or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

from additive.errors import UsageError
from additive.models.config import check_model_directory, check_templates
from additive.spec.docs import MODELS, commented
from additive.types.references import check_name, looks_like_hub_id
from additive.workspace.bases import BUNDLED, near_base, no_such_base, resolve_base
from additive.workspace.workspace import MARKER, Workspace, demo_source

DEMO_DOMAINS = ("math", "code", "safety")


SCHEMAS = ".additive/schemas"


_SCHEMA_LINE = re.compile(r"(\$schema=)(?:\.\./)*additive/data/schemas/")


_IGNORED = {".git", ".gitignore", ".DS_Store"}


def make_workspace(root: Path, base: str, domains: Sequence[str], *, start: Path) -> Workspace:
    """Create a workspace in a directory that is empty or does not exist yet.

    base     `tiny`, a directory or a Hub id
    domains  names of empty domains; without any the demo's
    start    a relative `base` directory is taken from here

    Raises: UsageError when the directory is in use, a name is not valid, or the base is unknown.
    """
    for name in domains:
        check_name(name)
    model = _base_model(base, start)
    _check_empty(root)
    with _all_or_nothing(root) as draft:
        if model in BUNDLED and not domains:
            _copy_demo(demo_source(), draft)
        else:
            _write_domains(draft, domains or DEMO_DOMAINS)
            fields: dict[str, Any] = {"version": 1, "base": {"model": model}}
            text = commented(MODELS["workspace"], fields, f"{SCHEMAS}/workspace.json")
            _write(draft / MARKER, text)
    return Workspace(root)


@contextmanager
def _all_or_nothing(root: Path) -> Iterator[Path]:
    """A directory beside `root` that becomes it, or fills it, at the end; the marker comes last."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".additive-init-", dir=root.parent) as temporary:
        draft = Path(temporary) / "workspace"
        draft.mkdir()
        yield draft
        if not root.exists():
            draft.rename(root)
            return
        for path in sorted(draft.iterdir(), key=lambda path: path.name == MARKER):
            if path.name not in _IGNORED or not (root / path.name).exists():
                path.rename(root / path.name)


def place_schemas(root: Path) -> None:
    """Copy the JSON Schemas, by which editors complete and check specs, into a workspace."""
    source = files("additive") / "data" / "schemas"
    for kind in MODELS:
        _write(root / SCHEMAS / f"{kind}.json", (source / f"{kind}.json").read_text("utf-8"))


def _base_model(base: str, start: Path) -> str:
    """The base as additive.yaml names it. A directory is checked, a Hub id is not fetched yet."""
    if base in BUNDLED:
        return base
    directory = (start / Path(base).expanduser()).resolve()
    if directory.is_dir():
        resolve_base(str(directory), directory, None, offline=True)
        check_model_directory(directory)
        check_templates(directory)
        return str(directory)
    is_hub_id = looks_like_hub_id(base) and not base.startswith(".")
    if is_hub_id and not near_base(base, directory):
        return base
    raise no_such_base(base, directory, "give init another --base")


def _check_empty(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise UsageError("is a file; expected a directory", where=str(root))
    if (root / MARKER).exists():
        raise UsageError("is a workspace already", where=str(root), help=f"additive -C {root} lint")
    names = sorted(path.name for path in root.glob("*") if path.name not in _IGNORED)
    if names:
        first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise UsageError(
            f"directory is not empty (it has {first})",
            where=str(root),
            help="give a new directory: additive init my-skills",
        )


def _copy_demo(source: Path, root: Path) -> None:
    for path in _demo_files(source):
        target = root / path.relative_to(source)
        if path.suffix == ".yaml":
            depth = len(target.relative_to(root).parts) - 1
            place = f"\\g<1>{'../' * depth}{SCHEMAS}/"
            _write(target, _SCHEMA_LINE.sub(place, path.read_text(encoding="utf-8"), count=1))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    _finish(root)
    text = (source / MARKER).read_text(encoding="utf-8")
    _write(root / MARKER, _SCHEMA_LINE.sub(f"\\g<1>{SCHEMAS}/", text, count=1))


def _demo_files(source: Path) -> Iterator[Path]:
    """The demo's domains without their generators, the suites of these domains and of none, and
    the recipes."""
    for name in DEMO_DOMAINS:
        for path in sorted((source / "domains" / name).iterdir()):
            if path.suffix in (".yaml", ".jsonl", ".md"):
                yield path
    demo = Workspace(source)
    for name in demo.suite_names():
        if demo.suite(name).domain in (None, *DEMO_DOMAINS):
            yield demo.evals / f"{name}.yaml"
            yield from demo.item_files(name)
    yield from sorted((source / "merges").glob("*.yaml"))


def _write_domains(root: Path, names: Sequence[str]) -> None:
    readme = (files("additive") / "data" / "scaffold" / "domain-README.md").read_text("utf-8")
    for name in names:
        directory = root / "domains" / name
        _write(directory / "domain.yaml", domain_text(name))
        _write(directory / "README.md", Template(readme).safe_substitute(name=name))
        _write(directory / "train.jsonl", "")
        _write(directory / "validation.jsonl", "")
        _write(root / "evals" / f"{name}-held-out.yaml", suite_text(name))
        _write(root / "evals" / "tasks" / f"{name}-held-out.jsonl", "")
    _finish(root)


def _finish(root: Path) -> None:
    (root / "merges").mkdir(exist_ok=True)
    place_schemas(root)
    ignored = (files("additive") / "data" / "scaffold" / "gitignore").read_text("utf-8")
    _write(root / ".gitignore", ignored)


def domain_text(name: str) -> str:
    """The domain.yaml that a new domain starts with."""
    fields = {
        "version": 1,
        "description": f"what {name} can do, in a sentence",
        "data": {"train": ["train.jsonl"], "validation": ["validation.jsonl"]},
        "adapt": {"kind": "lora", "rank": 8},
    }
    return commented(MODELS["domain"], fields, f"../../{SCHEMAS}/domain.json")


def suite_text(name: str) -> str:
    """The suite that a new domain starts with."""
    task = {"name": "held-out", "data": f"tasks/{name}-held-out.jsonl", "grader": "exact"}
    fields = {"version": 1, "domain": name, "tasks": [task], "gate": {"margin": 0.05}}
    return commented(MODELS["suite"], fields, f"../{SCHEMAS}/suite.json")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
