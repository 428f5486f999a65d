"""`additive diagnose DOMAIN…`: interference between frozen specialists, before merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import Output, clean

_PAIR = ["first", "second", "cosine", "outputs", "inputs", "interference", "conflicts"]


_LAYER = ["layer", "largest cosine", "largest overlap", "interference", "over_accumulation"]


@click.command("diagnose")
@click.argument("sources", nargs=-1, required=True, metavar="DOMAIN...")
@click.pass_obj
def command(invocation: Invocation, sources: tuple[str, ...]) -> None:
    """Measure the interference between frozen specialists before merging them.

    Shows norms, cosines, overlaps, interference, sign conflicts and over-accumulation, overall
    and by layer, with a sentence and a suggestion per finding. Reads only the adapters and builds
    nothing. The report of their merge shows the diagnosis too.

    \b
    Examples:
      additive diagnose math code sql
      additive diagnose math#0.5 code --json
    """
    document = additive.diagnose_sources(invocation.workspace, sources)
    text = "" if invocation.as_json else _text(invocation.output, document)
    invocation.output.result(document, text)


def _text(output: Output, document: Mapping[str, Any]) -> str:
    norms = [[source["name"], f"{source['norm']:.4g}"] for source in document["sources"]]
    parts = [output.table(["source", "norm"], norms)]
    if document["pairs"]:
        parts.append(output.table(_PAIR, [_pair_row(pair) for pair in document["pairs"]]))
        rows = [_layer_row(layer) for layer in document["layers"]]
        parts.append(output.table(_LAYER, rows))
    findings = [
        f"- {clean(finding['sentence'])}\n    {clean(finding['help'])}"
        for finding in document["findings"]
    ]
    return "\n\n".join([*parts, "\n".join(findings)])


def _pair_row(pair: Mapping[str, Any]) -> Sequence[str]:
    numbers = [pair[k] for k in ("cosine", "left", "right", "interference", "conflicts")]
    return [pair["first"], pair["second"], *map(_number, numbers)]


def _layer_row(layer: Mapping[str, Any]) -> Sequence[str]:
    pairs = layer["pairs"]
    cosine = max((pair["cosine"] for pair in pairs), key=abs, default=None)
    overlaps = [max(pair["left"], pair["right"]) for pair in pairs if pair["left"] is not None]
    overlap = max(overlaps, default=None)
    numbers = [cosine, overlap, layer["interference"], layer["over_accumulation"]]
    return [layer["layer"], *map(_number, numbers)]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
