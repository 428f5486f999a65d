"""How the deltas of a merge meet: a heat map of every pair in every layer, and the findings.

Rows are layers, columns pairs. The darker a cell, the larger the singular-task interference of the
pair; where a source is no low-rank delta, the size of the cosine takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from additive.report import svg
from additive.report.text import one_line

_LEFT, _TOP, _CELL_WIDTH, _CELL_HEIGHT = 56.0, 8.0, 72.0, 12.0


_MOST_PAIRS, _MOST_LAYERS = 45, 128


@dataclass(frozen=True)
class InterferenceTable:
    """A diagnosis as pages show it; `picture` is None for a single source, `left_out` says what of
    many pairs and layers it does not show.
    """

    findings: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    picture: Markup | None
    left_out: str = ""


def meeting_of(diagnosis: Mapping[str, Any] | None) -> InterferenceTable | None:
    """The findings and the heat map of a diagnosis document; None without one."""
    if diagnosis is None:
        return None
    findings = tuple((str(f["sentence"]), str(f["help"])) for f in diagnosis["findings"])
    layers = diagnosis["layers"][:_MOST_LAYERS]
    pairs = _strongest(diagnosis["pairs"], layers)
    columns = tuple(f"{one_line(p['first'])} × {one_line(p['second'])}" for p in pairs)
    picture = _picture(layers, pairs) if pairs and layers else None
    return InterferenceTable(findings, columns, picture, _left_out(diagnosis) if picture else "")


def _strongest(
    pairs: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The pairs that meet most in some layer, as many as a page has room for, in their order."""
    most: dict[tuple[str, str], float] = {}
    for pair in (pair for layer in layers for pair in layer["pairs"]):
        key = _key(pair)
        most[key] = max(most.get(key, 0.0), strength(pair))
    order = sorted(range(len(pairs)), key=lambda place: -most.get(_key(pairs[place]), 0.0))
    return [pairs[place] for place in sorted(order[:_MOST_PAIRS])]


def _key(pair: Mapping[str, Any]) -> tuple[str, str]:
    return pair["first"], pair["second"]


def _left_out(diagnosis: Mapping[str, Any]) -> str:
    pairs, layers = len(diagnosis["pairs"]), len(diagnosis["layers"])
    said = []
    if pairs > _MOST_PAIRS:
        said.append(f"the {_MOST_PAIRS} of {pairs} pairs that meet most in some layer")
    if layers > _MOST_LAYERS:
        said.append(f"the first {_MOST_LAYERS} of {layers} layers")
    return f"Shown are {' in '.join(said)}; `additive diagnose --json` has all." if said else ""


def _picture(layers: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> Markup:
    width = _LEFT + _CELL_WIDTH * len(pairs)
    height = _TOP + _CELL_HEIGHT * len(layers) + 18
    parts = []
    for row, layer in enumerate(layers):
        y = _TOP + row * _CELL_HEIGHT
        if row % max(1, len(layers) // 12) == 0:
            parts.append(svg.text(_LEFT - 6, y + 9, one_line(str(layer["layer"])), "tick end"))
        known = {_key(pair): pair for pair in layer["pairs"]}
        for column, pair in enumerate(pairs):
            parts.append(_cell(_LEFT + column * _CELL_WIDTH, y, known.get(_key(pair))))
    for column in range(len(pairs)):
        middle = _LEFT + (column + 0.5) * _CELL_WIDTH
        parts.append(svg.text(middle, height - 5, str(column + 1), "tick middle"))
    label = f"interference of {len(pairs)} pairs in {len(layers)} layers"
    return svg.picture(width, height, label, *parts)


def _cell(x: float, y: float, pair: Mapping[str, Any] | None) -> Markup:
    value = strength(pair)
    box = {"x": x, "y": y, "width": _CELL_WIDTH - 1, "height": _CELL_HEIGHT - 1}
    tone = {"class": "heat", "fill-opacity": f"{0.06 + 0.94 * value:.2f}"}
    return svg.element("rect", {**tone, **box}, svg.element("title", {}, f"{value:.2f}"))


def strength(pair: Mapping[str, Any] | None) -> float:
    """How much two sources meet in a layer, in [0, 1].

    >>> strength({"cosine": -0.2, "interference": None})
    0.2
    """
    if pair is None:
        return 0.0
    known = pair.get("interference")
    return min(1.0, abs(pair["cosine"]) if known is None else known)
