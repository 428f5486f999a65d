"""Adopt what was trained elsewhere: recognise, audit, freeze, ask it its questions.

    adopt(workspace, Path("saves/math-lora"), "math", AdoptOptions(suite=Path("math.jsonl")))

Everything that can be refused is refused before anything is written. The same folder is recognised
by the digests of its files; a changed one becomes a new version.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from additive.artifacts.base_check import BY_DIGEST, BaseCheck, base_check_of
from additive.artifacts.locks import lock
from additive.artifacts.manifest import Artifact, BaseIdentity, ManifestDraft, read_manifest
from additive.artifacts.verify import require_intact
from additive.errors import CompatibilityError
from additive.tensors.disk import require_space
from additive.tensors.json import read_object
from additive.types.digests import digest_file, short
from additive.types.progress import Listener, Progress, silent
from additive.types.references import check_name
from additive.verbs.adopted_files import (
    check_name_is_free,
    check_suite,
    suite_name,
    write_domain,
    write_suite,
)
from additive.workspace import Workspace, environment
from additive.workspace.bases import NamedFolder
from additive.workspace.inputs import base_identity, update_lock

if TYPE_CHECKING:
    from additive.adopt import Audit, Folder, Questions

UNSEEN_DATA = (
    "its training data is not here, so nobody can check that it has not seen the held-out questions"
)


@dataclass(frozen=True)
class AdoptOptions:
    """What the command line says beside folder and name."""

    suite: Path | None = None
    grader: str | None = None
    max_tokens: int | None = None
    accept: frozenset[str] = frozenset()
    checked: bool = True


@dataclass(frozen=True)
class Adopted:
    """A frozen specialist from elsewhere.

    before  the version that was the newest until now, where this is a new one
    check   the functional check that was made now
    """

    artifact: Artifact
    reused: bool
    before: str | None
    folder: Folder
    questions: Questions | None
    standing: BaseCheck
    check: Mapping[str, Any] | None


def adopt(
    workspace: Workspace,
    found: NamedFolder,
    name: str,
    options: AdoptOptions,
    progress: Listener = silent,
) -> Adopted:
    """The frozen specialist of a folder, with its domain, its suite, and its functional check.

    Raises: UsageError for a name that is taken; SpecError for questions; CompatibilityError,
    IntegrityError, SecurityError for the folder; LockedError; ResourceError.
    """
    from additive.adopt import read_questions, recognise

    check_name(name)
    check_name_is_free(workspace, name)
    folder = recognise(found.directory)
    questions = None
    if options.suite is not None:
        context = _context(workspace.base_directory())
        questions = read_questions(options.suite, options.grader, options.max_tokens, context)
        check_suite(workspace, name, questions, str(options.suite))
    with lock(workspace.locks / f"domain-{name}.lock", f"domain {name}", 0.0, lambda line: None):
        before = workspace.store.versions(name)
        artifact, reused = _frozen(workspace, found, folder, name, options, progress)
        write_domain(workspace, name)
        if questions is not None:
            write_suite(workspace, name, questions)
        workspace = Workspace(workspace.root)  # specs are read once, and some were just written
        update_lock(workspace)
    check = _checked(workspace, artifact, progress) if options.checked else None
    standing = base_check_of(artifact) or BaseCheck("claimed", "")
    older = None if reused or not before else before[-1].reference
    return Adopted(artifact, reused, older, folder, questions, standing, check)


def _context(base_directory: Path) -> int | None:
    """The longest text that the base was made for, in tokens, where its config says."""
    config = read_object(base_directory / "config.json")
    text = config.get("text_config") or config
    found = text.get("max_position_embeddings") or text.get("n_positions")
    return found if isinstance(found, int) else None


def _frozen(
    workspace: Workspace,
    found: NamedFolder,
    folder: Folder,
    name: str,
    options: AdoptOptions,
    progress: Listener,
) -> tuple[Artifact, bool]:
    from additive.adopt import audit

    base = base_identity(workspace)
    digests = {file: digest_file(folder.directory / file) for file in folder.kept}
    known = _known(workspace, name, base, digests)
    if known is not None:
        return known, True
    progress(Progress(f"adopt {name}", "reading every tensor"))
    standing = _standing(folder, base)
    passed = audit(folder, workspace.base_directory(), name, options.accept)
    origin = {
        "id": found.id,
        "revision": found.revision,
        "trainer": folder.trainer,
        "claims": folder.claims,
        "files": digests,
        "left": list(folder.left),
    }
    artifact = _freeze(workspace, folder, name, base, passed, standing, origin)
    progress(Progress(f"adopt {name}", f"frozen as {artifact.reference}", lasting=True))
    return artifact, False


def _known(
    workspace: Workspace, name: str, base: BaseIdentity, digests: Mapping[str, str]
) -> Artifact | None:
    """The newest version, if it was made of the same bytes on the same base."""
    for artifact in workspace.store.current(name)[-1:]:
        manifest = artifact.manifest
        origin = manifest.times.get("adopted", {})
        if manifest.base == base and origin.get("files") == digests:
            return artifact
    return None


def _standing(folder: Folder, base: BaseIdentity) -> str:
    """What the manifest says of the base; another workspace's artifact knows it by digest.

    Raises: CompatibilityError for an artifact of another base, IntegrityError for a damaged one.
    """
    if folder.trainer != "additive":
        return "claimed"
    require_intact(folder.directory)
    theirs = read_manifest(folder.directory).base
    if theirs is None or theirs.digest != base.digest:
        named = f"{theirs.id}@{short(theirs.digest)}" if theirs else "no base"
        raise CompatibilityError(
            f"was frozen on {named}; the workspace's base is {base.id}@{short(base.digest)}",
            where=str(folder.directory),
            help="adopt it in a workspace of its own base",
        )
    return BY_DIGEST


def _freeze(
    workspace: Workspace,
    folder: Folder,
    name: str,
    base: BaseIdentity,
    passed: Audit,
    standing: str,
    origin: Mapping[str, Any],
) -> Artifact:
    _check_disk(workspace, folder)
    with workspace.store.staging("specialist", name) as staged:
        _stage(folder, base, staged)
        draft = ManifestDraft(
            kind="specialist",
            name=name,
            base=base,
            spec={
                "adapt": passed.adapt,
                "adopted": {"base": standing, "accepted": list(passed.accepted)},
            },
            saturation={"outcome": "adopted"},
            norms=passed.norms,
            notes=(*passed.accepted, UNSEEN_DATA),
            versions=environment.versions(),
            hardware=environment.hardware(),
            times={
                "frozen": environment.now(),
                "adopted": dict(origin),
                "audit": {
                    "ratio": passed.ratio,
                    "parameters": passed.parameters,
                    "layers": passed.layers,
                    "modules": list(passed.modules),
                    "nbytes": passed.nbytes,
                },
            },
        )
        return workspace.store.freeze(staged, draft)


def _stage(folder: Folder, base: BaseIdentity, staged: Path) -> None:
    """Copy what is kept; an adapter that PEFT could not load on this base, for its start or its
    names, is written as the one that means the same.
    """
    from additive.deltas.initial import ADAPTER_WEIGHTS, rewritten
    from additive.tensors.writer import write_file

    for file in folder.kept:
        if "/" not in file:
            shutil.copyfile(folder.directory / file, staged / file)
    if folder.kind != "adapter":
        return
    made = rewritten(folder.directory, folder.config)
    if made is not None:
        (staged / ADAPTER_WEIGHTS).unlink()
        write_file(staged / ADAPTER_WEIGHTS, made[0], {"format": "pt"})
    _write_config(staged / "adapter_config.json", made[1] if made else folder.config, base)


def _write_config(path: Path, config: Mapping[str, Any], base: BaseIdentity) -> None:
    """The adapter's configuration without paths of another machine and classes to import."""
    name = Path(base.id).name if Path(base.id).is_absolute() else base.id
    config = {**config, "base_model_name_or_path": name, "auto_mapping": None}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check_disk(workspace: Workspace, folder: Folder) -> None:
    workspace.store.root.mkdir(parents=True, exist_ok=True)
    needed = sum((folder.directory / file).stat().st_size for file in folder.kept)
    require_space(workspace.store.root, needed, "the copy")


def _checked(
    workspace: Workspace, artifact: Artifact, progress: Listener
) -> Mapping[str, Any] | None:
    """Ask base and specialist the questions of its own suites; answers are kept by digest."""
    from additive.verbs.base_check import record_base_check
    from additive.verbs.results import BASE, Contestant, results_of

    uses = tuple(
        use
        for use in workspace.suites([artifact.name])
        if use.role == "target" and use.spec.domain == artifact.name
    )
    if not uses:
        return None
    base = results_of(workspace, Contestant(BASE, None, uses), progress)
    specialist = results_of(workspace, Contestant(artifact.name, artifact, uses), progress)
    return record_base_check(artifact, base, specialist)


def next_command(workspace: Workspace, adopted: Adopted) -> str:
    """What to do after an adoption."""
    name = adopted.artifact.name
    if suite_name(name) not in workspace.suite_names():
        folder = quote(str(adopted.folder.directory))
        return f"additive adopt {folder} --as {name} --suite QUESTIONS.jsonl"
    others = sorted({*workspace.store.names()} & {*workspace.domain_names()})
    return (
        f"additive merge {' '.join(others)}" if len(others) > 1 else "additive adopt DIR --as NAME"
    )
