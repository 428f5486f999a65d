"""Drawing by hand: elements as escaped text, with colours left to the page's style sheet.

Pictures written this way are a few kilobytes, the same bytes every time, sharp on paper, and follow
the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup, escape

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
