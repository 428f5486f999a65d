"""The same adapters through PEFT's weighted adapters, mergekit's base+lora route and ours.

    python -m tests.benchmarks.peers --workspace additive-demo --out docs/peers.md

Error is ‖Δ − Δ*‖/‖Δ*‖ over all adapted layers, Δ the difference of the written model to the base
and Δ* the same rule computed in float64: the weighted sum, or TIES on the deltas. Random masks
(dare) have no such reference; theirs is the sum, which they equal in expectation. Every route
writes a model in the base's dtype, bfloat16, so that no error is below that one rounding.

With a trained demo workspace its specialists are merged by every route too, and each merge is asked
the held-out suites: the worst one's retention, (merged − base) / (specialist − base). One table for
both goes to the place `peers` of every --out.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from additive.deltas.base import open_base
from additive.deltas.open import open_deltas
from additive.tensors.reader import open_checkpoint
from tests.benchmarks.measure import Cost, fill, hardware, in_child, load, table
from tests.benchmarks.retention import Asked, suites_of
from tests.merge.measuring import write_random_lora, write_random_model
from tests.oracles import papers

DENSITY = 0.2
RANK = 16
HEAD = ("route", "error of Δ", "worst retention", "wall s", "memory MB", "temporary disk MB")
SAMPLED = 14


@dataclass(frozen=True)
class Route:
    """One way from adapters to a model: whose, in its words; `rule` says what it should equal."""

    title: str
    whose: str
    rule: str
    words: dict[str, Any]

    @property
    def key(self) -> str:
        """The route whatever the ranks of its adapters are."""
        return self.title.partition(", svd_rank")[0].partition(" (svd_rank")[0]


def _said(settings: dict[str, object]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in settings.items())
    return f" ({said})" if said else ""


def _ours(method: str, rule: str, **parameters: object) -> Route:
    words: dict[str, object] = {"method": method, "parameters": parameters}
    return Route(f"**additive {method}**{_said(parameters)}", "ours", rule, words)


def _peft(mode: str, rule: str, **settings: object) -> Route:
    return Route(
        f"PEFT {mode}{_said(settings)}",
        "peft",
        rule,
        {"combination": mode, "settings": settings},
    )


def _kit(method: str, rule: str, **parameters: object) -> Route:
    config = {"merge_method": method, "parameters": {"weight": 1.0, **parameters}}
    title = f"mergekit base+lora {method}{_said(parameters)}"
    return Route(title, "mergekit", rule, {"config": config})


def routes(rank: int) -> tuple[Route, ...]:
    """Every route for adapters whose ranks add up to `rank`."""
    return (
        _ours("task_arithmetic", "sum"),
        _ours("ties", "ties", density=DENSITY),
        _ours("dare_linear", "sum", density=DENSITY),
        _ours("tsv_m", "–"),
        _ours("swudi", "–"),  # what `auto` takes for plain LoRA
        _peft("cat", "sum"),
        _peft("svd", "sum", svd_rank=rank),
        _peft("linear", "sum"),
        _peft("ties", "ties", density=DENSITY),
        _peft("ties_svd", "ties", density=DENSITY, svd_rank=rank),
        _peft("dare_linear", "sum", density=DENSITY),
        _peft("dare_ties", "ties", density=DENSITY),
        _kit("task_arithmetic", "sum"),
        _kit("ties", "ties", density=DENSITY),
        _kit("dare_linear", "sum", density=DENSITY),
    )


def main() -> None:
    """Run every route, print the table, and write the pages."""
    given = _arguments()
    said = (
        f"`make bench-peers`: {hardware()}; 3 LoRAs of rank {RANK} on {given.shape} in bfloat16"
        f" (error, wall, memory, disk); load {load()} at the start."
    )
    print(said, flush=True)
    kept: dict[str, str] = {}
    if given.workspace:
        asked = suites_of(given.workspace.resolve(), given.items)
        kept = dict(_each(given.work, asked, given.only))
        said += (
            f" Retention: the demo's {len(asked.specialists)} specialists, the worst of their"
            f" held-out target suites, {given.items} items each."
        )
    with _folder(given.work) as root:
        base = write_random_model(root / "base", given.shape, 0)
        loras = [write_random_lora(root / f"s{i}", given.shape, 100 + i, RANK) for i in range(3)]
        chosen = [route for route in routes(3 * RANK) if given.only in route.title]
        rows = list(_costs(root, base, loras, chosen, kept))
    for page in given.out:
        fill(page, "peers", f"{said}\n\n{table(HEAD, rows)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="135m", choices=["tiny", "135m", "640mb", "1b"])
    parser.add_argument("--workspace", type=Path, help="a trained demo workspace")
    parser.add_argument("--items", type=int, default=200, help="held-out items of each suite")
    parser.add_argument("--only", default="", help="routes whose title has this text")
    parser.add_argument("--work", type=Path, help="where the models are written")
    parser.add_argument(
        "--out", type=Path, action="append", default=[], help="a page with a place for the table"
    )
    return parser.parse_args()


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="additive-peers-", dir=work))
    try:
        yield root
    finally:
        shutil.rmtree(root)


def _costs(
    root: Path, base: Path, loras: list[Path], chosen: list[Route], kept: Mapping[str, str]
) -> Iterator[list[str]]:
    wanted = _references(base, loras)
    for route in chosen:
        out = root / "out"
        cost = run_route(route, base, loras, out, root / "cache")
        error = _error(base, out, wanted[route.rule]) if route.rule in wanted else None
        shutil.rmtree(out)
        shutil.rmtree(root / "cache", ignore_errors=True)
        row = [
            route.title,
            "–" if error is None else f"{error:.1e}",
            kept.get(route.key, "–"),
            f"{cost.wall:.1f}",
            f"{cost.memory / 1e6:.0f}",
            f"{cost.temporary / 1e6:.0f}",
        ]
        print("  ".join(row), flush=True)
        yield row


def run_route(
    route: Route, base: Path, adapters: list[Path], out: Path, cache: Path, dtype: str = "bfloat16"
) -> Cost:
    """Carry out one route in a process of its own."""
    given: dict[str, object] = {"base": str(base), "out": str(out), "dtype": dtype, **route.words}
    given["sources"] = [str(path) for path in adapters]
    if route.whose == "ours":
        given["dtype"] = "auto"
    if route.whose == "peft":
        given["weights"] = [1.0] * len(adapters)
    if route.whose == "mergekit":
        models = [{"model": f"{base}+{path}"} for path in adapters]
        named = {"base_model": str(base), "models": models}
        given |= {"config": {**route.words["config"], **named}, "cache": str(cache)}
    return in_child("tests.benchmarks.jobs", route.whose, given)


def _references(base: Path, loras: list[Path]) -> dict[str, dict[str, torch.Tensor]]:
    """The sum and TIES in float64, of every n-th adapted parameter."""
    opened = open_base(base)
    sources = [open_deltas(path, opened, path.name, path.name) for path in loras]
    names = sources[0].parameters()[::SAMPLED]
    found: dict[str, dict[str, torch.Tensor]] = {"sum": {}, "ties": {}}
    for name in names:
        deltas = [source.delta(name).dense(torch.float64) for source in sources]
        found["sum"][name] = torch.stack(deltas).sum(dim=0)
        voted = papers.ties([delta.numpy() for delta in deltas], DENSITY)
        found["ties"][name] = torch.as_tensor(voted)
    return found


def _error(base: Path, out: Path, wanted: dict[str, torch.Tensor]) -> float:
    error = size = 0.0
    with open_checkpoint(base) as before, open_checkpoint(out) as after:
        for name, delta in wanted.items():
            found = after.tensor(name).double() - before.tensor(name).double()
            error += (found - delta).square().sum().item()
            size += delta.square().sum().item()
    return math.sqrt(error / size)


def _each(work: Path | None, asked: Asked, only: str) -> Iterator[tuple[str, str]]:
    """Every route on the workspace's specialists: its key, the worst retention and whose it is."""
    for route in routes(sum(asked.ranks)):
        if only not in route.title:
            continue
        with _folder(work) as root:
            cache = root / "cache"
            run_route(route, asked.base, list(asked.adapters), root / "out", cache, "float32")
            kept = asked.retention(root / "out")
        worst = min(kept, key=lambda suite: kept[suite])
        print(f"{route.title}  {kept[worst]:.2f}  {worst}", flush=True)
        yield route.key, f"{kept[worst]:.2f} ({worst})"


if __name__ == "__main__":
    main()
