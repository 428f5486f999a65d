"""Adopt what was trained elsewhere: recognise, audit, freeze, ask it its held-out questions.

    folder = find_folder("saves/math-lora", Path.cwd())
    adopt_specialist(workspace, folder, "math", suite=Path("math.jsonl"))

Everything that can be refused is refused before anything is written. The same folder is recognised
by the digests of its files; a changed one becomes a new version. An adopted domain gets a
domain.yaml, and its questions become a suite. Files that a person wrote are never overwritten:
only scaffolds that are unchanged, and what an earlier adoption wrote, byte for byte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from additive.adopt import Folder, Questions, audit, read_questions, recognise
from additive.artifacts.base_check import BY_DIGEST, BaseCheck, base_check_of, is_adopted
from additive.artifacts.locks import lock
from additive.artifacts.manifest import Artifact, BaseIdentity, ManifestDraft, read_manifest
from additive.artifacts.verify import require_intact
from additive.deltas.initial import ADAPTER_WEIGHTS, rewritten
from additive.errors import CompatibilityError, SpecError, UsageError
from additive.graders import KINDS
from additive.lint.rows import item_faults
from additive.lint.specs import grader_problem
from additive.spec.docs import MODELS, commented
from additive.spec.loader import loads
from additive.spec.suite import SuiteSpec, TaskSpec
from additive.tensors.disk import require_space
from additive.tensors.json import read_object
from additive.tensors.writer import write_file
from additive.types.digests import digest_bytes, digest_file, short
from additive.types.progress import Listener, Progress, silent
from additive.types.references import check_name
from additive.verbs.init import SCHEMAS, domain_text, suite_text
from additive.verbs.results import BASE, CheckedModel, record_base_check, results_of
from additive.workspace import environment
from additive.workspace.bases import NamedFolder
from additive.workspace.inputs import base_identity, update_lock
from additive.workspace.workspace import Workspace

UNSEEN_DATA = (
    "its training data is not here: whether it has seen the held-out questions cannot be checked"
)


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
it is, and whether it has been checked to belong to this base.

* Trained on: (data and its license, which no adapter carries)
* Held-out questions must not have been in that data; without it that cannot be checked here.
"""


@dataclass(frozen=True)
class Adopted:
    """A frozen specialist from elsewhere.

    reused      whether the same folder was adopted before
    before      reference of the version that was the newest until now, where this is a new one
    base_check  whether it is known to belong to the base
    check       the check that it beats the base, if it was made now
    next_step   the command that most likely comes next
    """

    artifact: Artifact
    reused: bool
    before: str | None
    folder: Folder
    questions: Questions | None
    base_check: BaseCheck
    check: Mapping[str, Any] | None
    next_step: str


def adopt_specialist(
    workspace: Workspace,
    source: NamedFolder,
    name: str,
    progress: Listener = silent,
    *,
    suite: Path | None = None,
    grader: str | None = None,
    max_tokens: int | None = None,
    accept: Collection[str] = (),
    checked: bool = True,
) -> Adopted:
    """The frozen specialist of a folder, with its domain, its suite, and its check against the
    base.

    source      the folder, as `additive.workspace.bases.find_folder` finds it
    name        of the domain
    suite       held-out questions, JSON lines
    grader      how they are graded; detected where None
    max_tokens  the longest answer; detected where None
    accept      of `template`, `vocabulary`, `norm`: mismatches that are noted, not refused
    checked     whether base and specialist answer the questions

    Raises: UsageError for a name that is taken; SpecError for questions; CompatibilityError,
    IntegrityError, SecurityError for the folder; LockedError; ResourceError.
    """
    check_name(name)
    _check_name_is_free(workspace, name)
    folder = recognise(source.directory)
    questions = None
    if suite is not None:
        context = _context_length(workspace.base_directory())
        questions = read_questions(suite, grader, max_tokens, context)
        _check_suite(workspace, name, questions, str(suite))
    with lock(workspace.locks / f"domain-{name}.lock", f"domain {name}", 0.0, lambda line: None):
        base = base_identity(workspace)
        versions = workspace.store.versions(name)
        digests = {file: digest_file(folder.directory / file) for file in folder.kept}
        artifact = _find(workspace, name, base, digests)
        reused = artifact is not None
        if artifact is None:
            origin = {
                "id": source.id,
                "revision": source.revision,
                "trainer": folder.trainer,
                "claims": folder.claims,
                "files": digests,
                "left": list(folder.left),
            }
            artifact = _freeze(workspace, folder, name, base, frozenset(accept), origin, progress)
        _write_domain(workspace, name)
        if questions is not None:
            _write_suite(workspace, name, questions)
        workspace = Workspace(workspace.root)  # specs are read once, and some were just written
        update_lock(workspace, base)
    check = _check(workspace, artifact, base, progress) if checked else None
    return Adopted(
        artifact=artifact,
        reused=reused,
        before=None if reused or not versions else versions[-1].reference,
        folder=folder,
        questions=questions,
        base_check=base_check_of(artifact) or BaseCheck("claimed", ""),
        check=check,
        next_step=_next_step(workspace, name, folder.directory),
    )


def _check_name_is_free(workspace: Workspace, name: str) -> None:
    """Refuse a name that something else has: a domain that is trained here, or a merge."""
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


def _context_length(base_directory: Path) -> int | None:
    """The longest text that the base was made for, in tokens, where its config says."""
    config = read_object(base_directory / "config.json")
    text = config.get("text_config") or config
    length = text.get("max_position_embeddings") or text.get("n_positions")
    return length if isinstance(length, int) else None


def _find(
    workspace: Workspace, name: str, base: BaseIdentity, digests: Mapping[str, str]
) -> Artifact | None:
    """The newest version, if it was made of the same bytes on the same base."""
    for artifact in workspace.store.current(name)[-1:]:
        manifest = artifact.manifest
        origin = manifest.times.get("adopted", {})
        if manifest.base == base and origin.get("files") == digests:
            return artifact
    return None


def _freeze(
    workspace: Workspace,
    folder: Folder,
    name: str,
    base: BaseIdentity,
    accept: frozenset[str],
    origin: Mapping[str, Any],
    progress: Listener,
) -> Artifact:
    """Audit a folder and freeze what is kept of it."""
    progress(Progress(f"adopt {name}", "reading every tensor"))
    claim = _claim(folder, base)
    result = audit(folder, workspace.base_directory(), name, accept)
    workspace.store.root.mkdir(parents=True, exist_ok=True)
    needed = sum((folder.directory / file).stat().st_size for file in folder.kept)
    require_space(workspace.store.root, needed, "the copy")
    with workspace.store.staging("specialist", name) as staged:
        _stage(folder, base, staged)
        draft = ManifestDraft(
            kind="specialist",
            name=name,
            base=base,
            spec={
                "adapt": result.adapt,
                "adopted": {"base": claim, "accepted": list(result.accepted)},
            },
            saturation={"outcome": "adopted"},
            norms=result.norms,
            notes=(*result.accepted, UNSEEN_DATA),
            versions=environment.versions(),
            hardware=environment.hardware(),
            times={
                "frozen": environment.now(),
                "adopted": dict(origin),
                "audit": {
                    "ratio": result.ratio,
                    "parameters": result.parameters,
                    "layers": result.layers,
                    "modules": list(result.modules),
                    "nbytes": result.nbytes,
                },
            },
        )
        artifact = workspace.store.freeze(staged, draft)
    progress(Progress(f"adopt {name}", f"frozen as {artifact.reference}", lasting=True))
    return artifact


def _claim(folder: Folder, base: BaseIdentity) -> str:
    """What the manifest says of the base; another workspace's artifact knows it by digest.

    Raises: CompatibilityError for an artifact of another base, IntegrityError for a damaged one.
    """
    if folder.trainer != "additive":
        return "claimed"
    require_intact(folder.directory)
    own = read_manifest(folder.directory).base
    if own is None or own.digest != base.digest:
        label = f"{own.id}@{short(own.digest)}" if own else "no base"
        raise CompatibilityError(
            f"was frozen on {label}; the workspace's base is {base.id}@{short(base.digest)}",
            where=str(folder.directory),
            help="adopt it in a workspace of its own base",
        )
    return BY_DIGEST


def _stage(folder: Folder, base: BaseIdentity, staged: Path) -> None:
    """Copy what is kept; an adapter that PEFT could not load on this base, for its initial weights
    or its names, is written as the one that means the same.

    The adapter's configuration loses paths of another machine and classes to import.
    """
    for file in folder.kept:
        if "/" not in file:
            shutil.copyfile(folder.directory / file, staged / file)
    if folder.kind != "adapter":
        return
    config: Mapping[str, Any] = folder.config
    replacement = rewritten(folder.directory, folder.config)
    if replacement is not None:
        tensors, config = replacement
        (staged / ADAPTER_WEIGHTS).unlink()
        write_file(staged / ADAPTER_WEIGHTS, tensors, {"format": "pt"})
    base_name = Path(base.id).name if Path(base.id).is_absolute() else base.id
    config = {**config, "base_model_name_or_path": base_name, "auto_mapping": None}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (staged / "adapter_config.json").write_text(text, encoding="utf-8")


def _check(
    workspace: Workspace, artifact: Artifact, base: BaseIdentity, progress: Listener
) -> Mapping[str, Any] | None:
    """Ask base and specialist the questions of its own suites; answers are kept by digest."""
    uses = tuple(
        use
        for use in workspace.suites([artifact.name])
        if use.role == "target" and use.spec.domain == artifact.name
    )
    if not uses:
        return None
    models = (CheckedModel(BASE, None, uses), CheckedModel(artifact.name, artifact, uses))
    results = [results_of(workspace, model, base, progress) for model in models]
    return record_base_check(artifact, *results)


def _next_step(workspace: Workspace, name: str, directory: Path) -> str:
    if suite_name(name) not in workspace.suite_names():
        return f"additive adopt {quote(str(directory))} --as {name} --suite QUESTIONS.jsonl"
    names = sorted({*workspace.store.names()} & {*workspace.domain_names()})
    return f"additive merge {' '.join(names)}" if len(names) > 1 else "additive adopt DIR --as NAME"


def suite_name(domain: str) -> str:
    """The suite of an adopted domain's questions."""
    return f"{domain}-{_TASK}"


def _write_domain(workspace: Workspace, name: str) -> None:
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


def _is_scaffold(workspace: Workspace, name: str) -> bool:
    """Whether a domain is what `additive init` wrote, without a row."""
    directory = workspace.domain_directory(name)
    text = (directory / "domain.yaml").read_text(encoding="utf-8")
    return text == domain_text(name) and not any(
        path.stat().st_size for path in directory.glob("*.jsonl")
    )


def _check_suite(workspace: Workspace, name: str, questions: Questions, display_path: str) -> None:
    """Refuse questions that their grader cannot grade, and a suite that a person wrote.

    display_path  how messages call the file of the questions

    Raises: SpecError, UsageError.
    """
    problem = grader_problem(workspace, questions.grader)
    if problem:
        raise UsageError(f"--grader: {problem}", help=f"known: {', '.join(KINDS)}, or a file.py")
    spec = loads(_suite_text(name, questions), SuiteSpec, name=suite_name(name))
    faults = item_faults(questions.rows, spec, spec.tasks[0], display_path)
    if faults:
        raise SpecError(faults, help=f"they are graded as {questions.grader}; see --grader")
    path, items = _suite_files(workspace, name)
    if not path.exists() or _is_ours(path, items, name) or _holds(items, questions):
        return
    raise UsageError(
        f"{workspace.display_path(path)} has other questions; --suite would overwrite it",
        help=f"remove it, or put the questions into {workspace.display_path(items)} yourself",
    )


def _write_suite(workspace: Workspace, name: str, questions: Questions) -> None:
    """Write the suite and its items; a suite that has these questions already stays as it is."""
    path, items = _suite_files(workspace, name)
    if path.exists() and _holds(items, questions) and not _is_ours(path, items, name):
        return
    _write(items, questions.text())
    _write(path, _suite_text(name, questions))


def _suite_files(workspace: Workspace, name: str) -> tuple[Path, Path]:
    suite = suite_name(name)
    return workspace.evals / f"{suite}.yaml", workspace.evals / "tasks" / f"{suite}.jsonl"


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
    return whole and text == _render_suite(name, task, tuple(spec.sides or ()))


def _suite_text(name: str, questions: Questions) -> str:
    task = TaskSpec(
        name=_TASK,
        data=f"tasks/{suite_name(name)}.jsonl",
        sha256=digest_bytes(questions.text().encode()),
        grader=questions.grader,
        kind="cloze" if questions.kind == "cloze" else "generate",
        max_tokens=questions.max_tokens,
    )
    return _render_suite(name, task, questions.sides if len(questions.sides) > 1 else ())


def _render_suite(name: str, task: TaskSpec, sides: tuple[str, ...]) -> str:
    keys = ("name", "data", "sha256", "grader", "kind", "max_tokens")
    values = {
        "version": 1,
        "description": f"held-out questions of {name}, as adopted",
        "domain": name,
        "tasks": [{key: getattr(task, key) for key in keys}],
    }
    if sides:
        values["sides"] = {side: {"margin": 0.05} for side in sorted(sides)}
    return commented(MODELS["suite"], values, f"../{SCHEMAS}/suite.json")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
