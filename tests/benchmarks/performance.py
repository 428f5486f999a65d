"""docs/performance.md from measured rows: tables per shape, and the plots of growth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.bars import COUNTS, GROWN, JOBS, PORTFOLIO
from tests.benchmarks.growth import Series, growth_picture
from tests.benchmarks.measure import fill, table
from tests.benchmarks.shapes import Inputs, known
from tests.benchmarks.stages import STAGES

HEAD = (
    *("job", "wall s", "T_io s", "limit s", "wall / limit", "memory MB", "base read MB"),
    *("mergekit wall s", "its memory MB", "its temporary MB", "× faster", "bar", ""),
)
WORDS = {True: "met", False: "**missed**", None: "–"}
Row = Mapping[str, Any]


def write_page(work: Path, page: Path) -> None:
    """Fill the places of the page for which there are rows, and draw the plots beside it."""
    machine = known(work, "machine")
    fill(page, "machine", machine["said"] if machine else "")
    for shape in GROWN:
        text = _shape(work / "rows" / shape)
        if text:
            fill(page, shape, text)
    plots = _plots(work, page.parent)
    if plots:
        fill(page, "growth", plots)


def _shape(rows: Path) -> str:
    """Jobs, then the stages of those that were profiled, then the candidates."""
    jobs, stages = [], []
    for job in JOBS:
        ours, theirs = known(rows, job.title), known(rows, f"{job.title} mergekit")
        if ours:
            said = WORDS[job.bar.met(ours, theirs)]
            jobs.append([job.title, *_numbers(ours), *_beside(ours, theirs), job.bar.said(), said])
        found = known(rows, f"{job.title} stages")
        if found:
            stages.append([job.title, *(f"{found[stage]:.1f}" for stage in STAGES)])
    parts = [table(HEAD, jobs)] if len(jobs) > 2 else []
    if parts and stages:
        parts += [
            "Where the time of these jobs goes, in seconds summed over the threads:",
            table(("job", *STAGES), stages),
        ]
    portfolio = known(rows, "candidates")
    if portfolio:
        parts += ["16 LoRAs prepared once, then candidates:", _candidates(portfolio["steps"])]
    return "\n\n".join(parts)


def _numbers(row: Row) -> list[str]:
    return [
        f"{row['wall']:.1f}",
        f"{row['io']:.1f}",
        f"{row['limit']:.1f}{'' if row['by'] == 'T_io' else ' (' + row['by'] + ')'}",
        f"{row['wall'] / row['limit']:.2f}",
        f"{row['memory'] / 1e6:.0f}",
        f"{row['base_read'] / 1e6:.0f}",
    ]


def _beside(row: Row, theirs: Row | None) -> list[str]:
    if theirs is None:
        return ["", "", "", ""]
    return [
        f"{theirs['wall']:.1f}",
        f"{theirs['memory'] / 1e6:.0f}",
        f"{theirs['temporary'] / 1e6:.0f}",
        f"{theirs['wall'] / row['wall']:.1f}",
    ]


def _candidates(steps: list[dict[str, Any]]) -> str:
    lines = []
    for step in steps:
        most = PORTFOLIO[step["step"]]
        lines.append(
            [
                step["step"],
                f"{step['wall']:.1f}",
                f"{step['memory'] / 1e6:.0f}",
                f"≤ {most:g} s" if most else "–",
                WORDS[step["wall"] <= most if most else None],
            ]
        )
    return table(("step", "wall s", "memory MB", "bar", ""), lines)


def _plots(work: Path, folder: Path) -> str:
    """Growth over domains, a line per shape, and over parameters, a line per number of LoRAs."""
    rows = {shape: _counted(work / "rows" / shape) for shape in GROWN}
    domains = [
        Series(_size(shape), tuple((n, row["wall"], row["memory"]) for n, row in by.items()))
        for shape, by in rows.items()
        if len(by) > 2
    ]
    parameters = []
    for count in (3, 16):
        found = [(_millions(shape), by[count]) for shape, by in rows.items() if count in by]
        points = tuple((size, row["wall"], row["memory"]) for size, row in found)
        parameters.append(Series(f"{count} LoRAs", points))
        parameters.append(
            Series(f"T_io of {count}", tuple((size, row["io"], None) for size, row in found))
        )
    said = []
    for name, what, series in (
        ("growth-domains", "number of LoRAs", domains),
        ("growth-parameters", "millions of parameters", parameters),
    ):
        if any(len(one.points) > 1 for one in series):
            (folder / f"{name}.svg").write_text(growth_picture(what, series), encoding="utf-8")
            said.append(f"![Wall time and memory of a sum over {what}]({name}.svg)")
    return "\n\n".join(said)


def _counted(rows: Path) -> dict[int, Row]:
    """Rows of sums of LoRAs by their number."""
    titles = {n: f"{n} LoRAs" for n in (3, 16)} | {n: f"{n} LoRAs in a sum" for n in COUNTS}
    found = {count: known(rows, title) for count, title in sorted(titles.items())}
    return {count: row for count, row in found.items() if row}


def _millions(shape: str) -> float:
    return round(Inputs(shape, Path()).parameters / 1e6)


def _size(shape: str) -> str:
    return f"{_millions(shape):.0f} M parameters"
