"""`additive adopt DIR|HUB-ID --as NAME`: what was trained elsewhere, audited and frozen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import clean
from additive.cli.progress import show_progress
from additive.errors import EXIT_OK, EXIT_REFUSED_BY_GATE
from additive.workspace.bases import find_folder

if TYPE_CHECKING:
    from additive.verbs.adopt import Adopted


SCHEMA = "additive.adopt/1"


_MOST_NAMES = 6


@click.command("adopt")
@click.argument("source", metavar="DIR|HUB-ID")
@click.option("--as", "name", required=True, metavar="NAME", help="Name of the new domain.")
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Held-out questions as JSON lines with prompt and answer; they become its suite.",
)
@click.option("--grader", metavar="NAME", help="Grader of the questions.  [default: detected]")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Longest answer, in tokens.  [default: detected]",
)
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["template", "vocabulary", "norm"]),
    help="Accept this mismatch: template, vocabulary or norm (repeatable).",
)
@click.option(
    "--check/--no-check",
    "checked",
    default=True,
    help="Test that the adapter beats the base on the questions.  [default: on]",
)
@click.pass_obj
def command(
    invocation: Invocation,
    source: str,
    name: str,
    suite: Path | None,
    grader: str | None,
    max_tokens: int | None,
    accept: tuple[str, ...],
    checked: bool,
) -> int:
    """Freeze an adapter or a full fine-tune that was trained elsewhere.

    Reads folders of PEFT, TRL, axolotl, LLaMA-Factory and Unsloth, full checkpoints, and Hub ids in
    the local cache. Each is identified, audited (no pickles, matching A/B factors, finite values,
    same template and vocabulary) and frozen; trainer leftovers are dropped.

    The base that an adapter names counts as claimed until the adapter beats it on held-out
    questions. Exit code 1 when it does not; the adapter stays frozen, and reports say so.

    \b
    Examples:
      additive adopt ../saves/math-lora --as math --suite ../math_heldout.jsonl
      additive adopt org/sql-lora --as sql
    """
    folder = find_folder(source, invocation.directory)
    with show_progress(invocation) as progress:
        adopted = additive.adopt_specialist(
            invocation.workspace,
            folder,
            name,
            progress,
            suite=(invocation.directory / suite).resolve() if suite else None,
            grader=grader,
            max_tokens=max_tokens,
            accept=accept,
            checked=checked,
        )
    lines = [f"{key:<9} {clean(value)}" for key, value in _lines(adopted)]
    head = clean(f"{adopted.artifact.reference}  {_summary(adopted)}")
    text = "\n".join([head, *lines, f"next      {adopted.next_step}"])
    invocation.output.result(_document(adopted), text)
    refused = adopted.check is not None and adopted.check["verdict"] != "pass"
    return EXIT_REFUSED_BY_GATE if refused else EXIT_OK


def _summary(adopted: Adopted) -> str:
    """`LoRA r=8 α=16 on q_proj × 24 layers, 2.1 MB, by PEFT  frozen`."""
    manifest = adopted.artifact.manifest
    adapt, audit = manifest.spec["adapt"], manifest.times["audit"]
    modules = _first_names(audit["modules"], ", …")
    kind = f"IA3 on {modules}" if adapt["kind"] == "ia3" else "full fine-tune"
    if adapt["kind"] == "lora":
        flags = "".join(f" {flag}" for flag in ("rslora", "dora") if adapt.get(flag))
        kind = f"LoRA{flags} r={adapt['rank']} α={adapt['alpha']:g} on {modules}"
    layers = f" × {audit['layers']} layers" if audit["layers"] else ""
    before = f", a new version beside {adopted.before}" if adopted.before else ""
    state = "was there already" if adopted.reused else f"frozen{before}"
    return f"{kind}{layers}, {audit['nbytes'] / 1e6:.3g} MB, by {adopted.folder.trainer}  {state}"


def _lines(adopted: Adopted) -> Iterator[tuple[str, str]]:
    manifest = adopted.artifact.manifest
    audit = manifest.times["audit"]
    paired = ", matching A/B factors" if adopted.folder.kind == "adapter" else ""
    yield (
        "audit",
        f"{audit['parameters']} parameters fit the base and are finite{paired}, no pickles,"
        f" ‖ΔW‖/‖W‖ = {audit['ratio']:.3g}",
    )
    claims = adopted.folder.claims
    if claims and manifest.base:
        # Two folders of one name may hold two models, so a name proves nothing.
        same = Path(claims).name.casefold() == Path(manifest.base.id).name.casefold()
        relation = (
            "the name of the workspace's base"
            if same
            else f"only a check can tell whether it is {manifest.base.id}"
        )
        yield "claims", f"trained on {claims}; {relation}"
    left = adopted.folder.left
    if left:
        yield "dropped", _first_names(left, f", and {len(left) - _MOST_NAMES} more")
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


def _first_names(names: list[str] | tuple[str, ...], more: str) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (more if len(names) > _MOST_NAMES else "")


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
        "next": adopted.next_step,
    }
