"""One HTML page: no scripts, no network, no images from elsewhere; the same input, the same bytes.

Everything from outside is escaped by Jinja and cleaned of control characters. The items that were
lost share a budget, so that the page stays below 300 KB whatever they say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from additive import __version__
from additive.report.curves import caption, curve_picture
from additive.report.evidence import Evidence, Flips, by_task, curve_of, explanation, headline
from additive.report.interference import meeting_of
from additive.report.lineage import commands, composition, lineage
from additive.report.suggest import Suggestion
from additive.report.svg import interval_picture, retention_bars, span_of, ticks
from additive.report.text import clean, clip, fraction, interval, minus, signed

if TYPE_CHECKING:
    from jinja2 import Environment


FLIPS_BUDGET = 120_000


_TEXTS = 4


_SHORTEST, _LONGEST = 60, 1200


_TONES = {"pass": "pass", "fail": "fail", "cannot tell": "open", "not checked": "none"}


def render_html(evidence: Evidence) -> str:
    """The page of a check.

    Example: `Path("reports/math+code.html").write_text(render_html(evidence), "utf-8")`
    """
    check = evidence.check
    flips, budget, note = _fitting(evidence.flips)
    pictures = [(curve, curve_picture(curve)) for curve in map(curve_of, evidence.specialists)]
    return (
        _environment()
        .get_template("page.html")
        .render(
            check=check,
            css=Markup(_resource("page.css")),
            headline=headline(check),
            composition=composition(evidence),
            span=span_of(check.suites),
            interval_picture=interval_picture,
            explain=explanation,
            by_task=by_task,
            suggestions=[step for step in evidence.suggestions() if not _is_this_page(step)],
            retention=retention_bars(check.suites),
            ticks=ticks(),
            curves=[(curve, caption(curve), picture) for curve, picture in pictures if picture],
            lineage=lineage(evidence),
            meeting=meeting_of(evidence.diagnosis),
            flips=flips,
            budget=budget,
            flip_note=note,
            commands=commands(evidence),
            version=__version__,
        )
    )


def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"page.html": _resource("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clean": lambda value: clip(clean(str(value)), _LONGEST),
        "breakable": breakable,
        "clip": clip,
        "fraction": fraction,
        "interval": interval,
        "minus": minus,
        "signed": signed,
        "tone": lambda verdict: _TONES[verdict],
    }
    return environment


def _is_this_page(step: Suggestion) -> bool:
    return (step.command or "").startswith("additive report ")


def breakable(name: str) -> Markup:
    """A name that may wrap behind `-`, `_`, `/` and `+`, and nowhere else."""
    return Markup("").join(
        Markup("{}<wbr>").format(piece) for piece in re.findall(r"[^-_/+]*[-_/+]?", name) if piece
    )


def _resource(name: str) -> str:
    return files("additive.report").joinpath(name).read_text(encoding="utf-8")


def _fitting(flips: Sequence[Flips]) -> tuple[list[Flips], int, str]:
    """The flips that are shown, the bytes that each of their texts may take, and a note."""
    groups = [group for group in flips if group.lost]
    most = FLIPS_BUDGET // (_TEXTS * _SHORTEST)
    per_suite = max(most // max(len(groups), 1), 1)
    visible = [replace(group, items=group.items[:per_suite]) for group in groups][:most]
    count = sum(len(group.items) for group in visible)
    budget = min(FLIPS_BUDGET // (_TEXTS * max(count, 1)), _LONGEST)
    hidden = len(groups) - len(visible)
    note = "Texts that were cut end in an ellipsis."
    return visible, budget, f"{note} {hidden} more suites are not shown." if hidden else note
