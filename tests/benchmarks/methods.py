"""Which method should be the default for 2 to 8 domains? Worst-domain retention over seeds.

    python -m tests.benchmarks.methods --seeds 10 --out docs/default-method.md   (or: make methods)

Eight generated domains are trained on the tiny base, ten times; per seed two, four and all eight of
them are merged by every method. `--demo DIR` adds the workspaces that `make demo-seeds` has left:
the demo's three domains, judged on the half of their validation rows on which nothing is chosen.

Each method's scale is chosen by the rule of `additive merge` on validation rows; what is reported
is min over domains of (merged − base) / (specialist − base) on test rows that nothing else has
read, teacher-forced whole answers; means over seeds with 90 % t-intervals, and the paired
difference to task_arithmetic. Interrupted sweeps continue, and a method that is new is measured
alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from scipy import stats

from additive.artifacts.manifest import Artifact
from additive.deltas.model import Delta, combine
from additive.merge.candidates import Prepared, prepare
from additive.merge.recipe import SourceSpec, build_method
from additive.merge.resident import switching
from additive.models.kinds import PreTrainedModel
from additive.models.loading import load_model, load_tokenizer
from additive.train.data import TrainingRow
from additive.train.validation import Score, completion_score
from additive.types.progress import Progress
from additive.verbs.init import DEMO_DOMAINS as DEMO
from additive.verbs.scale import Trial, search, trial
from additive.verbs.train import train_domain
from additive.workspace.inputs import split_rows
from additive.workspace.workspace import Workspace
from tests.benchmarks.generated import DOMAINS, Rows, generated_workspace, rows_of
from tests.benchmarks.measure import fill

STEPS = 60
COUNTS = (2, 4, 8)
REFERENCE = "task_arithmetic"
METHODS = (
    REFERENCE, "ties", "dare_ties", "tsv_m", "swudi", "iso_c", "ctm", "pico", "svc",
)  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """A specialist, with rows to choose a scale on and rows to judge it on."""

    artifact: Artifact
    choose: Score
    judge: Score


@dataclass(frozen=True)
class Outcome:
    """One merge: the scale that was chosen, and the retention of each domain."""

    setting: str
    seed: int
    method: str
    scale: float
    retention: Mapping[str, float]

    @property
    def worst(self) -> float:
        """The worst domain's retention."""
        return min(self.retention.values())


def outcomes(
    base: Path,
    chosen: Mapping[str, Domain],
    setting: str,
    seed: int,
    methods: Sequence[str],
) -> Iterator[Outcome]:
    """Merge these specialists by these methods."""
    sources = [
        SourceSpec(name, domain.artifact.digest, domain.artifact.path)
        for name, domain in chosen.items()
    ]
    model = load_model(base)
    floor = {name: domain.judge(model, 0).score for name, domain in chosen.items()}
    with prepare(base, sources) as prepared, switching(model, prepared) as show:
        own = _alone(model, prepared, show, chosen)
        for method in methods:
            deltas = prepared.apply(build_method(method))

            def attempt(scale: float, deltas: Mapping[str, Delta] = deltas) -> Trial:
                show({name: combine([(scale, delta)]) for name, delta in deltas.items()})
                scores = {name: domain.choose for name, domain in chosen.items()}
                return trial(model, scale, scores, {name: own[name][0] for name in chosen})

            scale = search(attempt).scale
            attempt(scale)
            found = {name: domain.judge(model, 0).score for name, domain in chosen.items()}
            kept = {n: (found[n] - floor[n]) / (own[n][1] - floor[n]) for n in chosen}
            yield Outcome(setting, seed, method, scale, kept)


def _alone(
    model: PreTrainedModel,
    prepared: Prepared,
    show: Callable[[Mapping[str, Delta]], None],
    chosen: Mapping[str, Domain],
) -> dict[str, tuple[float, float]]:
    """Each specialist's score on its rows to choose and to judge on."""
    found = {}
    for name, domain in chosen.items():
        weights = {other: float(other == name) for other in chosen}
        show(prepared.apply(build_method(REFERENCE), weights))
        found[name] = domain.choose(model, 0).score, domain.judge(model, 0).score
    return found


def generated(root: Path, seed: int, methods: Sequence[str]) -> Iterator[Outcome]:
    """Two, four and eight of the generated domains, trained with this seed."""
    generated_workspace(root, seed, STEPS)
    workspace = Workspace(root)
    tokenizer = load_tokenizer(workspace.base_directory())
    domains = {}
    for name in DOMAINS:
        rows = rows_of(name)
        domains[name] = Domain(
            train_domain(workspace, name, _say).artifact,
            completion_score(tokenizer, _as_rows(rows["validation"])),
            completion_score(tokenizer, _as_rows(rows["test"])),
        )
    for count in COUNTS:
        names = sorted(Random(f"{seed} {count}").sample(list(DOMAINS), count))
        picked = {name: domains[name] for name in names}
        setting = f"{count} generated"
        yield from outcomes(workspace.base_directory(), picked, setting, seed, methods)


def demo(root: Path, seed: int, methods: Sequence[str]) -> Iterator[Outcome]:
    """The demo's domains as a workspace has them: every second validation row chooses."""
    workspace = Workspace(root)
    tokenizer = load_tokenizer(workspace.base_directory())
    domains = {}
    for name in DEMO:
        rows = split_rows(workspace, name, "validation")
        domains[name] = Domain(
            workspace.store.versions(name)[-1],
            completion_score(tokenizer, rows[::2]),
            completion_score(tokenizer, rows[1::2]),
        )
    yield from outcomes(workspace.base_directory(), domains, "the demo's 3", seed, methods)


def _as_rows(rows: Rows) -> list[TrainingRow]:
    return [TrainingRow(p, c) for p, c in zip(rows.prompts, rows.completions, strict=True)]


def table(found: Sequence[Outcome]) -> str:
    """Method by setting: mean worst retention with its interval, and the difference to the
    reference."""
    settings = list(dict.fromkeys(outcome.setting for outcome in found))
    head = ["method", *(f"{setting} domains" for setting in settings)]
    lines = [head, ["---"] * len(head)]
    for method in METHODS:
        cells = [_cell(found, setting, method) for setting in settings]
        lines.append([f"`{method}`", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(found: Sequence[Outcome], setting: str, method: str) -> str:
    worst = {o.seed: o for o in found if (o.setting, o.method) == (setting, method)}
    before = {o.seed: o.worst for o in found if (o.setting, o.method) == (setting, REFERENCE)}
    kept = [outcome.worst for outcome in worst.values()]
    scales = sorted(outcome.scale for outcome in worst.values())
    text = f"{_interval(kept)}, scale {scales[len(scales) // 2]:g}"
    if method == REFERENCE or not kept:
        return text
    return f"{text}; Δ {_interval([o.worst - before[seed] for seed, o in worst.items()], '+')}"


def _interval(values: Sequence[float], sign: str = "") -> str:
    """The mean with its 90 % t-interval."""
    if len(values) < 2:
        return " ".join(f"{value:{sign}.3f}" for value in values) or "–"
    mean = sum(values) / len(values)
    error = stats.sem(values) * stats.t.ppf(0.95, len(values) - 1)
    if math.isnan(error):
        error = 0.0
    return f"{mean:{sign}.3f} [{mean - error:{sign}.3f}, {mean + error:{sign}.3f}]"


def main() -> None:
    """Run the seeds, each into a file of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".methods"))
    parser.add_argument("--demo", type=Path, help="what `make demo-seeds` has left")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: list[Outcome] = []
    for seed in range(options.first, options.first + options.seeds):
        root = (options.work / f"seed-{seed}").absolute()
        found += _kept(options.work / f"generated-{seed}.json", partial(generated, root, seed))
        trained = options.demo and (options.demo / f"seed-{seed}").absolute()
        if trained and (trained / "reports").exists():
            found += _kept(options.work / f"demo-{seed}.json", partial(demo, trained, seed))
        print(table(found), flush=True)
    text = f"{table(found)}\n\nSeeds: {options.seeds}; {STEPS} steps for a generated domain.\n"
    if options.out:
        fill(options.out, "methods", text.rstrip())


def _kept(path: Path, make: Callable[[Sequence[str]], Iterator[Outcome]]) -> list[Outcome]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = json.loads(path.read_text()) if path.exists() else []
    known = {line["method"] for line in lines}
    missing = [method for method in METHODS if method not in known]
    if missing:
        lines += [vars(outcome) for outcome in make(missing)]
        path.write_text(json.dumps(lines, indent=1))
    return [Outcome(**line) for line in lines]


def _say(progress: Progress) -> None:
    if "frozen" in progress.text:
        print(f"{progress.topic}: {progress.text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
