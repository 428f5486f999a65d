"""`additive adopt DIR|HUB-ID --as NAME`: what was trained elsewhere, audited and frozen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from additive.cli.output import clean
from additive.cli.progress import show_progress
from additive.cli.session import Session
from additive.errors import EXIT_OK, EXIT_REFUSED_BY_GATE

if TYPE_CHECKING:
    from additive.verbs.adopt import Adopted


SCHEMA = "additive.adopt/1"


_SHOWN = 6


@click.command("adopt")
@click.argument("source", metavar="DIR|HUB-ID")
@click.option("--as", "name", required=True, metavar="NAME", help="Name of the domain.")
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Held-out questions, JSON lines: prompt and answer. They become the domain's suite.",
)
@click.option("--grader", metavar="NAME", help="How they are graded; detected when not given.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Longest answer; detected when not given."
)
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["template", "vocabulary", "norm"]),
    help="Take it although this is not the base's, or not plausible (repeatable).",
)
@click.option(
    "--check/--no-check",
    "checked",
    default=True,
    help="Ask base and specialist the questions: it must beat the base (default).",
)
@click.pass_obj
def command(
    session: Session,
    source: str,
    name: str,
    suite: Path | None,
    grader: str | None,
    max_tokens: int | None,
    accept: tuple[str, ...],
    checked: bool,
) -> int:
    """Take in an adapter or a full fine-tune: folders of PEFT, TRL, axolotl, LLaMA-Factory and
    Unsloth, full checkpoints, and hub ids in the local cache.

    It is identified, audited, and frozen without its trainer's debris. Its base is claimed until
    it has beaten the base on held-out questions. Exit code 1 when it did not; it is kept, and says
    so.

    \b
      additive adopt ../saves/math-lora --as math --suite ../math_heldout.jsonl
      additive adopt org/sql-lora --as sql
    """
    from additive.verbs.adopt import AdoptOptions, adopt, next_command
    from additive.workspace.bases import find_folder

    workspace = session.workspace
    options = AdoptOptions(
        suite=(session.directory / suite).resolve() if suite else None,
        grader=grader,
        max_tokens=max_tokens,
        accept=frozenset(accept),
        checked=checked,
    )
    found = find_folder(source, session.directory)
    with show_progress(quiet=session.quiet, color=session.output.color) as listen:
        adopted = adopt(workspace, found, name, options, listen)
    step = next_command(workspace, adopted)
    lines = [f"{key:<9} {clean(value)}" for key, value in _lines(adopted)]
    head = f"{adopted.artifact.reference}  {_what(adopted)}"
    text = "\n".join([clean(head), *lines, f"next      {step}"])
    session.output.result({**_document(adopted), "next": step}, text)
    refused = adopted.check is not None and adopted.check["verdict"] != "pass"
    return EXIT_REFUSED_BY_GATE if refused else EXIT_OK


def _what(adopted: Adopted) -> str:
    manifest = adopted.artifact.manifest
    adapt, audit = manifest.spec["adapt"], manifest.times["audit"]
    modules = audit["modules"]
    some = ", ".join(modules[:_SHOWN]) + (", …" if len(modules) > _SHOWN else "")
    kind = f"IA3 on {some}" if adapt["kind"] == "ia3" else "full fine-tune"
    if adapt["kind"] == "lora":
        flags = "".join(f" {flag}" for flag in ("rslora", "dora") if adapt.get(flag))
        kind = f"LoRA{flags} r={adapt['rank']} α={adapt['alpha']:g} on {some}"
    layers = f" × {audit['layers']} layers" if audit["layers"] else ""
    before = f", a new version beside {adopted.before}" if adopted.before else ""
    state = "was there already" if adopted.reused else f"frozen{before}"
    return f"{kind}{layers}, {audit['nbytes'] / 1e6:.3g} MB, by {adopted.folder.trainer}  {state}"


def _lines(adopted: Adopted) -> Iterator[tuple[str, str]]:
    manifest = adopted.artifact.manifest
    audit = manifest.times["audit"]
    paired = ", every A has its B" if adopted.folder.kind == "adapter" else ""
    yield (
        "audit",
        f"{audit['parameters']} parameters fit the base and are finite{paired}, no pickles,"
        f" ‖ΔW‖/‖W‖ = {audit['ratio']:.3g}",
    )
    if adopted.folder.claims and manifest.base:
        yield "says", _claim(adopted.folder.claims, manifest.base.id)
    left = adopted.folder.left
    if left:
        more = f", and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        yield "left out", ", ".join(left[:_SHOWN]) + more
    for note in manifest.spec["adopted"]["accepted"]:
        yield "accepted", note
    questions = adopted.questions
    if questions is not None:
        yield (
            "suite",
            f"{adopted.artifact.name}-held-out: {len(questions.rows)} questions, graded as"
            f" {questions.grader} ({questions.why}), up to {questions.max_tokens} tokens",
        )
    yield "base", f"{adopted.base_check.state}: {adopted.base_check.why}"


def _claim(claims: str, base: str) -> str:
    """The base's name in the folder beside the workspace's; neither proves anything."""
    if Path(claims).name.casefold() == Path(base).name.casefold():
        return f"it was trained on {claims}, which is what the workspace's base is called"
    return f"it was trained on {claims}; whether {base} is the same, only a check can tell"


def _document(adopted: Adopted) -> dict[str, Any]:
    artifact, questions = adopted.artifact, adopted.questions
    return {
        "schema": SCHEMA,
        "name": artifact.name,
        "digest": artifact.digest,
        "path": str(artifact.path),
        "reused": adopted.reused,
        "before": adopted.before,
        "kind": adopted.folder.kind,
        "trainer": adopted.folder.trainer,
        "claims": adopted.folder.claims,
        "kept": list(adopted.folder.kept),
        "left": list(adopted.folder.left),
        "adapt": artifact.manifest.spec["adapt"],
        "audit": artifact.manifest.times["audit"],
        "accepted": artifact.manifest.spec["adopted"]["accepted"],
        "suite": None
        if questions is None
        else {
            "name": f"{artifact.name}-held-out",
            "items": len(questions.rows),
            "grader": questions.grader,
            "why": questions.why,
            "max_tokens": questions.max_tokens,
        },
        "base": {"state": adopted.base_check.state, "why": adopted.base_check.why},
        "check": adopted.check,
    }
