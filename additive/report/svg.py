"""Drawing by hand: elements as escaped text, with colours left to the page's style sheet.

Pictures written this way are a few kilobytes, the same bytes every time, sharp on paper, and follow
the reader's light or dark setting.

Two pictures of a check: the interval of every difference, and the share of every gain kept.

Both show the line that must not be crossed: −margin for differences, 1 − margin / gain for
retention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from additive.report.document import SuiteVerdict
from additive.report.text import fraction, interval, signed

Attributes = Mapping[str, str | float]


def number(value: float) -> str:
    """A coordinate in user units with at most one decimal.

    >>> number(12.0), number(3.14159), number(-0.01)
    ('12', '3.1', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def element(name: str, attributes: Attributes, *children: str) -> Markup:
    """One element; children that are plain text are escaped, elements are kept as they are.

    >>> print(element("text", {"x": 1.5}, "a < b"))
    <text x="1.5">a &lt; b</text>
    """
    parts = [
        f' {key}="{escape(value if isinstance(value, str) else number(value))}"'
        for key, value in attributes.items()
    ]
    inner = "".join(map(escape, children))
    body = f">{inner}</{name}>" if inner else "/>"
    return Markup(f"<{name}{''.join(parts)}{body}")


def picture(width: float, height: float, label: str, *children: str) -> Markup:
    """An inline SVG of this size that scales down with its container; `label` is read aloud."""
    return _svg(f"0 0 {number(width)} {number(height)}", width, height, {}, label, children)


def stretched(width: float, height: float, label: str, *children: str) -> Markup:
    """An inline SVG as wide as its container; it is stretched, so it may hold no text."""
    attributes = {"preserveAspectRatio": "none", "class": "stretched"}
    return _svg(
        f"0 0 {number(width)} {number(height)}", "100%", height, attributes, label, children
    )


def _svg(
    box: str,
    width: str | float,
    height: float,
    more: Attributes,
    label: str,
    children: tuple[str, ...],
) -> Markup:
    attributes: Attributes = {"viewBox": box, "width": width, "height": height, **more}
    return element("svg", {**attributes, "role": "img", "aria-label": label}, *children)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    """A straight line in the colours of a class."""
    return element("line", {"class": style, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def text(x: float, y: float, content: str, style: str) -> Markup:
    """A text whose class says how it looks and where it is anchored."""
    return element("text", {"class": style, "x": x, "y": y}, content)


def points(pairs: list[tuple[float, float]]) -> str:
    """The coordinates of a polyline or polygon."""
    return " ".join(f"{number(x)},{number(y)}" for x, y in pairs)


_STYLE = {"pass": "pass", "fail": "fail", "cannot tell": "open"}


_WIDTH, _HEIGHT = 150.0, 20.0


_MOST = 1.2


_MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Span:
    """The range of differences that all intervals of one check share."""

    low: float
    high: float

    def place(self, value: float, width: float = _WIDTH) -> float:
        """The x coordinate of a difference, in user units."""
        inner = min(max(value, self.low), self.high)
        return 4 + (width - 8) * (inner - self.low) / (self.high - self.low)


def span_of(suites: Sequence[SuiteVerdict]) -> Span:
    """The smallest range that shows every interval, every margin and zero, with a little air."""
    bounds = [bound for suite in suites if suite.interval for bound in suite.interval]
    values = [0.0, -0.01, 0.01, *bounds, *(-suite.margin for suite in suites if suite.margin)]
    low, high = min(values), max(values)
    air = 0.05 * (high - low)
    return Span(low - air, high + air)


def interval_picture(suite: SuiteVerdict, span: Span) -> Markup:
    """One difference with its interval, zero, and −margin as a dashed line (150 by 20 units)."""
    middle = _HEIGHT / 2
    zero = span.place(0)
    parts = [
        line(4, middle, _WIDTH - 4, middle, "axis"),
        line(zero, 2, zero, _HEIGHT - 2, "zero"),
    ]
    if suite.margin is not None:
        at = span.place(-suite.margin)
        parts.append(line(at, 1, at, _HEIGHT - 1, "limit"))
    style = _STYLE[suite.verdict]
    if suite.interval is not None:
        low, high = map(span.place, suite.interval)
        bar = {"class": f"fill {style}", "x": low, "y": middle - 3, "width": max(high - low, 1)}
        parts.append(element("rect", {**bar, "height": 6.0, "rx": 3.0}))
    if suite.difference is not None:
        at = span.place(suite.difference)
        parts.append(element("circle", {"class": f"dot {style}", "cx": at, "cy": middle, "r": 4.0}))
    label = f"difference {signed(suite.difference)} {interval(suite.interval)}"
    return picture(_WIDTH, _HEIGHT, label, *parts)


@dataclass(frozen=True)
class Bar:
    """A suite's retention with its picture, which stretches to the width it is given."""

    suite: SuiteVerdict
    picture: Markup


def retention_bars(suites: Sequence[SuiteVerdict]) -> tuple[Bar, ...]:
    """A bar per target suite whose specialist gained something."""
    kept = [suite for suite in suites if suite.gain is not None]
    return tuple(Bar(suite, _bar(suite)) for suite in kept)


def ticks() -> tuple[tuple[str, str], ...]:
    """(text, share of the width in percent) of the marks below the bars."""
    return tuple((f"{value:g}", f"{_x(value) / 10:.2f}") for value in _MARKS)


def _x(value: float) -> float:
    return 1000 * min(max(value, 0.0), _MOST) / _MOST


def _bar(suite: SuiteVerdict) -> Markup:
    gain, retention = suite.gain or 1.0, suite.retention or 0.0
    style = _STYLE[suite.verdict]
    shape = {"class": f"bar {style}", "x": 0.0, "y": 5.0, "width": max(_x(retention), 2.0)}
    parts = [line(_x(mark), 0, _x(mark), 26, "zero" if mark == 1 else "axis") for mark in _MARKS]
    parts.append(element("rect", {**shape, "height": 16.0}))
    if suite.margin is not None:
        limit = _x(1 - suite.margin / gain)
        parts.append(line(limit, 0, limit, 26, "limit"))
    if suite.interval is not None:
        low, high = (_x(1 + bound / gain) for bound in suite.interval)
        parts.append(line(low, 13, high, 13, "whisker"))
        parts += [line(x, 9, x, 17, "whisker") for x in (low, high)]
    return stretched(1000, 26, f"retention {fraction(retention, 2)}", *parts)
