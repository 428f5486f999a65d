"""Plots of how a merge grows: wall time and memory side by side, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from additive.report import svg

_WIDTH, _HEIGHT, _PANEL = 760.0, 320.0, 300.0
_LEFT, _TOP, _BOTTOM, _GAP = 56.0, 30.0, 44.0, 80.0
_COLOURS = ("#2563eb", "#b45309", "#15803d", "#9333ea", "#be123c")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#bbb;stroke-width:.5}"
    "polyline{fill:none;stroke-width:2}.title{font-weight:600}.middle{text-anchor:middle}"
    ".end{text-anchor:end}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#555}}"
)


@dataclass(frozen=True)
class Series:
    """A line: (x, wall seconds, bytes of memory over the imports) per point; no memory of T_io."""

    name: str
    points: tuple[tuple[float, float, float | None], ...]


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from `low` to `high`, drawn from `start` over `length` units."""

    low: float
    high: float
    start: float
    length: float

    def at(self, value: float) -> float:
        """Where a value lies."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + self.length * share


def growth_picture(what: str, series: Sequence[Series]) -> str:
    """A picture of two panels, a line per series; `what` names the horizontal axis."""
    walls = [[(x, wall) for x, wall, _ in one.points] for one in series]
    memory = [[(x, size / 1e6) for x, _, size in one.points if size] for one in series]
    parts = [
        svg.element("style", {}, Markup(_STYLE)),
        *_panel(_LEFT, "wall, seconds", what, walls),
        *_panel(_LEFT + _PANEL + _GAP, "memory over the imports, MB", what, memory),
        *_legend([one.name for one in series]),
    ]
    height = _HEIGHT + 8 + 18 * len(series)
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {svg.number(_WIDTH)} {svg.number(height)}",
        "width": _WIDTH,
        "height": height,
        "role": "img",
        "aria-label": f"wall time and memory over {what}",
    }
    return f"{svg.element('svg', attributes, *parts)}\n"


def _panel(
    left: float, title: str, what: str, lines: Sequence[Sequence[tuple[float, float]]]
) -> list[Markup]:
    xs = sorted({x for line in lines for x, _ in line})
    ys = [max(y, 1e-3) for line in lines for _, y in line]
    if not ys:
        return []
    bottom = _HEIGHT - _BOTTOM
    across = _Axis(xs[0], max(xs[-1], 2 * xs[0]), left, _PANEL)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    up = _Axis(low, max(high, 10 * low), bottom, _TOP - bottom)
    parts = [svg.text(left, _TOP - 12, title, "title")]
    for tick in _decades(low, up.high):
        parts.append(svg.line(left, up.at(tick), left + _PANEL, up.at(tick), "grid"))
        parts.append(svg.text(left - 6, up.at(tick) + 4, f"{tick:g}", "end"))
    parts += [svg.text(across.at(x), bottom + 16, f"{x:g}", "middle") for x in xs]
    parts.append(svg.text(left + _PANEL / 2, bottom + 36, what, "middle"))
    for number, line in enumerate(lines):
        parts += _line([(across.at(x), up.at(max(y, 1e-3))) for x, y in line], number)
    return parts


def _decades(low: float, high: float) -> list[float]:
    count = round(math.log10(high / low))
    return [low * 10**step for step in range(count + 1)]


def _line(places: list[tuple[float, float]], number: int) -> list[Markup]:
    colour = _COLOURS[number % len(_COLOURS)]
    dots = [svg.element("circle", {"cx": x, "cy": y, "r": 3.0, "fill": colour}) for x, y in places]
    route = svg.element("polyline", {"points": svg.points(places), "stroke": colour})
    return [route, *dots] if places else []


def _legend(names: Sequence[str]) -> list[Markup]:
    parts = []
    for number, name in enumerate(names):
        y, colour = _HEIGHT + 16 + 18 * number, _COLOURS[number % len(_COLOURS)]
        parts.append(svg.element("circle", {"cx": _LEFT, "cy": y - 4, "r": 4.0, "fill": colour}))
        parts.append(svg.text(_LEFT + 12, y, name, "name"))
    return parts
