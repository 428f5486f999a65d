"""What a diagnosis costs: CPU seconds per parameter, and a whole model after `prepare`.

    python -m tests.benchmarks.diagnose --out docs/diagnose.md                   # per parameter
    python -m tests.benchmarks.diagnose --shape 1b --page docs/performance.md    # 2.5 GB of disk

Per parameter: shapes are those of the seven linear layers of TinyLlama-1.1B; one of each is
measured on random factors and counted as often as the model has it (22 layers). CPU time, not wall:
other work on the machine does not change it much. The whole model: adapters of rank 16 on a base of
zeros, through `diagnose` with nothing kept, then after `prepare`; the models are removed again.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from additive.deltas.base import open_base
from additive.deltas.model import LowRank
from additive.merge.candidates import prepare
from additive.merge.core import triangles_of
from additive.merge.diagnose import diagnose
from additive.merge.measures import Spectra, conflicts, spectra
from additive.merge.sources import open_sources
from tests.benchmarks.jobs import kept_mapped
from tests.benchmarks.measure import child, costed, fill, hardware, load, table
from tests.benchmarks.shapes import Inputs
from tests.merge.making import recipe, source
from tests.merge.measuring import write_random_model

SOURCES, RANK, LAYERS, BAR_S = 16, 16, 22, 20.0
SHAPES = {
    "q, o": ((2048, 2048), 2),
    "k, v": ((256, 2048), 2),
    "gate, up": ((5632, 2048), 2),
    "down": ((2048, 5632), 1),
}
AFTER = "diagnose, after prepare"


def main() -> None:
    """Print the table that is asked for, and fill its place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="page for the table per parameter")
    parser.add_argument("--shape", choices=["tiny", "135m", "1b"], help="a whole model instead")
    parser.add_argument("--page", type=Path, help="page for the table of the whole model")
    parser.add_argument("--work", type=Path, default=Path(".bench-merge/diagnose"))
    given = parser.parse_args()
    text = _whole(given.shape, given.work.absolute()) if given.shape else _per_parameter()
    print(text)
    page = given.page if given.shape else given.out
    if page:
        fill(page, "diagnose", text)


def _per_parameter() -> str:
    torch.set_num_threads(1)
    total, lines = [0.0, 0.0], []
    for name, (shape, count) in SHAPES.items():
        first, rest = _cost(shape)
        total = [total[0] + count * LAYERS * first, total[1] + count * LAYERS * rest]
        size = f"{shape[0]} × {shape[1]}"
        lines.append([name, size, str(count * LAYERS), f"{first:.3f}", f"{rest:.3f}"])
    lines.append(["the model", "", "", f"**{total[0]:.1f}**", f"**{total[1]:.1f}**"])
    head = ["layer", "shape", "times", "triangles", "the rest"]
    return (
        f"{table(head, lines)}\n\nCPU seconds on one thread, {SOURCES} adapters of rank {RANK};"
        f" triangles are what is kept. {hardware()}."
    )


def _cost(shape: tuple[int, int]) -> tuple[float, float]:
    """Seconds of the two triangles, and of everything else, for one parameter."""
    torch.manual_seed(0)
    rows, columns = shape
    deltas = [LowRank(torch.randn(rows, RANK), torch.randn(RANK, columns)) for _ in range(SOURCES)]
    start = time.process_time()
    triangles = triangles_of(deltas)
    first = time.process_time() - start
    start = time.process_time()
    _all_numbers(spectra(deltas, triangles), shape)
    signs = max(1, (1 << 16) // columns)
    conflicts([delta.rows(0, min(signs, rows)).dense() for delta in deltas])
    return first, time.process_time() - start


def _all_numbers(found: Spectra, shape: tuple[int, int]) -> None:
    found.inner()
    found.overlap(found.left)
    found.overlap(found.right)
    found.interference()
    found.interferences()
    found.unrelated(shape)
    found.over_accumulation()


def _whole(shape: str, work: Path) -> str:
    """The steps on a model of this shape, in a process of their own."""
    inputs = Inputs(shape, work / shape)
    shutil.rmtree(inputs.root, ignore_errors=True)
    try:
        base = write_random_model(inputs.root / "zeros", shape, 0, size=0.0)
        sources = list(map(str, inputs.sources("lora", SOURCES)))
        words = {"base": str(base), "sources": sources, "cache": str(inputs.root / "cache")}
        before = load()
        rows = [_row(step) for step in child("tests.benchmarks.diagnose", "steps", words)]
    finally:
        shutil.rmtree(inputs.root)
    head = ["step", "wall s", "processor s", "memory MB", "base read MB", "bar", ""]
    size = f"{inputs.parameters / 1e6:.0f} M parameters"
    return (
        f"{table(head, rows)}\n\n{SOURCES} LoRAs of rank {RANK} on all linear layers of {size}."
        f" {hardware()}; load {before} before."
    )


def _row(step: dict[str, Any]) -> list[str]:
    bar = step["step"] == AFTER
    return [
        step["step"],
        f"{step['wall']:.1f}",
        f"{step['processor']:.1f}",
        f"{step['memory'] / 1e6:.0f}",
        f"{step['base_read'] / 1e6:.0f}",
        f"≤ {BAR_S:g} s" if bar else "–",
        ("met" if step["wall"] <= BAR_S else "**missed**") if bar else "–",
    ]


def steps(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Diagnose with nothing kept, prepare, and diagnose again: a step and its cost each."""
    base, cache = Path(given["base"]), Path(given["cache"])
    sources = [replace(source(Path(path)), finite=True) for path in given["sources"]]

    def diagnosed(folder: Path) -> Callable[[], object]:
        def work() -> None:
            opened = open_sources(recipe(*sources), open_base(base))
            diagnose(opened, cache=folder)
            opened.close()

        return work

    work: Sequence[tuple[str, Callable[[], object]]] = (
        ("diagnose, nothing kept", diagnosed(cache / "first")),
        ("diagnose, again", diagnosed(cache / "first")),
        ("prepare", lambda: prepare(base, sources, cache / "prepared").close()),
        (AFTER, diagnosed(cache / "prepared")),
    )
    found = []
    for title, step in work:
        with kept_mapped(base) as touched:
            found.append({"step": title, **costed(step), "base_read": touched()})
    return found


if __name__ == "__main__":
    main()
