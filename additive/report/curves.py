"""Learning curves: a specialist's validation score over its steps, and where training ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from additive.report import svg
from additive.report.text import fraction, one_line

_WIDTH, _HEIGHT = 400.0, 220.0


_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 14.0, 24.0, 34.0


MOST_POINTS = 120


@dataclass(frozen=True)
class Point:
    """One evaluation: the score in [0, 1] with its interval, where it is known."""

    step: int
    score: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """The curve of a specialist on its own validation data, and on other suites beside it.

    `mark` is the plateau step and `outcome` the word for how training ended; `snapshots` are
    (fraction of the plateau step, step).
    """

    name: str
    own: tuple[Point, ...]
    others: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    outcome: str = ""
    mark: int | None = None
    snapshots: tuple[tuple[float, int], ...] = ()


def curve_picture(curve: Curve) -> Markup | None:
    """The picture (400 by 220 units), or null for a curve without points."""
    if not curve.own:
        return None
    last = max([point.step for point in curve.own] + [curve.mark or 0, 1])
    own = thin(curve.own)
    parts = [_frame(last), _band(own, last)]
    parts += [_line(thin(points), last, "other", name) for name, points in curve.others if points]
    parts += [_line(own, last, "own", curve.name), _mark(curve, last), _snapshots(curve, last)]
    final = fraction(curve.own[-1].score)
    label = f"{one_line(curve.name)}: validation score {final} after {curve.own[-1].step} steps"
    return svg.picture(_WIDTH, _HEIGHT, label, *parts)


def caption(curve: Curve) -> str:
    """What the thin lines are: the domain's own answers, really generated; other suites' scores."""
    own = f"{curve.name}-generated"
    names = [name for name, _ in curve.others]
    answers = ["its own answers, really generated and graded"] if own in names else []
    others = [one_line(name) for name in names if name != own]
    beside = [f"what it does to {', '.join(others)} meanwhile"] if others else []
    said = "; ".join([*answers, *beside])
    return f"thin line{'s' if len(names) > 1 else ''}: {said}" if said else ""


def thin(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most about 120 points, evenly taken, the last one always among them."""
    stride = -(-len(points) // MOST_POINTS)
    return tuple(points[::-1][::stride][::-1]) if stride else ()


def _x(step: float, last: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last


def _y(score: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(max(score, 0.0), 1.0)


def _frame(last: int) -> Markup:
    parts = []
    for score in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(score)
        parts.append(svg.line(_LEFT, y, _WIDTH - _RIGHT, y, "grid" if score else "axis"))
        parts.append(svg.text(_LEFT - 6, y + 4, f"{score:g}", "tick end"))
    parts += [
        svg.text(_x(step, last), _HEIGHT - _BOTTOM + 15, str(step), "tick middle")
        for step in ticks(last)
    ]
    parts.append(svg.text(_WIDTH - _RIGHT, _HEIGHT - 4, "step", "tick end"))
    return Markup("").join(parts)


def ticks(last: int) -> tuple[int, ...]:
    """Round steps from 0 to `last`, five gaps at most.

    >>> ticks(420), ticks(1)
    ((0, 100, 200, 300, 400), (0, 1))
    """
    power = 10 ** (len(str(last)) - 1)
    units = (unit for unit in (power // 10 or 1, power // 5, power // 2, power, 2 * power) if unit)
    unit = next(unit for unit in units if last <= 5 * unit)
    return tuple(range(0, last + 1, unit))


def _band(points: Sequence[Point], last: int) -> Markup:
    upper = [(_x(p.step, last), _y(p.high)) for p in points if p.high is not None]
    lower = [(_x(p.step, last), _y(p.low)) for p in points if p.low is not None]
    outline = svg.points([*upper, *reversed(lower)])
    return svg.element("polygon", {"class": "band", "points": outline}) if outline else Markup("")


def _line(points: Sequence[Point], last: int, style: str, name: str) -> Markup:
    route = svg.points([(_x(point.step, last), _y(point.score)) for point in points])
    title = svg.element("title", {}, f"{one_line(name)}: {fraction(points[-1].score)} at the end")
    return svg.element("polyline", {"class": f"curve {style}", "points": route}, title)


def _mark(curve: Curve, last: int) -> Markup:
    if curve.mark is None:
        return Markup("")
    x = _x(curve.mark, last)
    side = "end" if x > _WIDTH / 2 else "start"
    shift = -5 if side == "end" else 5
    words = f"{one_line(curve.outcome)} at {curve.mark}".strip()
    style = "pass" if curve.outcome == "saturated" else "open"
    line = svg.line(x, _TOP - 14, x, _HEIGHT - _BOTTOM, f"mark {style}")
    return Markup("").join([line, svg.text(x + shift, _TOP - 8, words, f"note {side} {style}")])


def _snapshots(curve: Curve, last: int) -> Markup:
    parts = []
    for share, step in curve.snapshots:
        x, y = _x(min(step, last), last), _y(score_at(curve.own, step))
        side, shift = ("end", -7) if x > _WIDTH - 40 else ("middle", 0)
        title = svg.element("title", {}, f"snapshot {share:g} at step {step}")
        parts.append(
            svg.element("circle", {"class": "snapshot", "cx": x, "cy": y, "r": 4.0}, title)
        )
        parts.append(svg.text(x + shift, y + 17, f"#{share:g}", f"tick {side}"))
    return Markup("").join(parts)


def score_at(points: Sequence[Point], step: int) -> float:
    """The score at a step, on the straight line between the evaluations around it."""
    before = max((p for p in points if p.step <= step), key=lambda p: p.step, default=points[0])
    after = min((p for p in points if p.step >= step), key=lambda p: p.step, default=points[-1])
    width = after.step - before.step
    share = (step - before.step) / width if width > 0 else 0.0
    return before.score + share * (after.score - before.score)
