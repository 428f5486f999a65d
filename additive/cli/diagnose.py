"""`additive diagnose DOMAIN…`: how frozen specialists will meet, before they are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from additive.cli.output import Output, clean
from additive.cli.session import Session


@click.command("diagnose")
@click.argument("sources", nargs=-1, required=True, metavar="DOMAIN...")
@click.pass_obj
def command(session: Session, sources: tuple[str, ...]) -> None:
    """Norms, cosines, shared directions, interference, sign conflicts and over-accumulation of
    frozen specialists, over all and layer by layer, with a sentence per finding and what to do.

    Reads the adapters alone; builds nothing. A report of their merge shows it too.

    \b
      additive diagnose math code sql
      additive diagnose math#0.5 code --json
    """
    from additive.verbs.diagnose import diagnose_sources

    document = diagnose_sources(session.workspace, sources)
    session.output.result(document, "" if session.as_json else _text(session.output, document))


def _text(output: Output, document: Mapping[str, Any]) -> str:
    norms = [[source["name"], f"{source['norm']:.4g}"] for source in document["sources"]]
    parts = [output.table(["source", "norm"], norms)]
    if document["pairs"]:
        parts.append(output.table(_PAIR, [_pair_row(pair) for pair in document["pairs"]]))
        rows = [_layer_row(layer) for layer in document["layers"]]
        parts.append(output.table(_LAYER, rows))
    findings = [
        f"- {clean(found['sentence'])}\n    {clean(found['help'])}"
        for found in document["findings"]
    ]
    return "\n\n".join([*parts, "\n".join(findings)])


_PAIR = ["first", "second", "cosine", "outputs", "inputs", "interference", "conflicts"]


_LAYER = ["layer", "largest cosine", "largest overlap", "interference", "over_accumulation"]


def _pair_row(pair: Mapping[str, Any]) -> Sequence[str]:
    numbers = [pair[k] for k in ("cosine", "left", "right", "interference", "conflicts")]
    return [pair["first"], pair["second"], *map(_number, numbers)]


def _layer_row(layer: Mapping[str, Any]) -> Sequence[str]:
    pairs = layer["pairs"]
    overlaps = [max(p["left"], p["right"]) for p in pairs if p["left"] is not None]
    cosines = [p["cosine"] for p in pairs]
    values = [max(cosines, key=abs, default=None), max(overlaps, default=None)]
    return [
        layer["layer"],
        *map(_number, [*values, layer["interference"], layer["over_accumulation"]]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
