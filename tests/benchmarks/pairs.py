"""Does `additive diagnose` predict which two domains disturb each other? Measured pair by pair.

    python -m tests.benchmarks.pairs 0 1 2 --out docs/diagnose.md             (or: make pairs)

The eight generated domains of a seed (the workspaces of `make methods`, trained where they are
missing) are diagnosed and merged two by two, 28 pairs, at scale 1. What a pair costs is read on
test rows that nothing else has read, of the domain that fares worse:

    answers   own − merged, the share of whole answers that the merge loses, teacher-forced
    loss      merged − own, the rise of the answers' loss in nats per token

Each number of the diagnosis is correlated by ranks with both, seed by seed; chance is what remains
when the domains' names are shuffled. Every seed is kept in `pairs-SEED.json`, so that a sweep that
was interrupted continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from additive.artifacts.manifest import Artifact
from additive.deltas.model import Delta
from additive.merge.candidates import prepare
from additive.merge.diagnose import Diagnosis, diagnose
from additive.merge.recipe import SourceSpec, build_method
from additive.merge.resident import switching
from additive.models.kinds import PreTrainedModel
from additive.models.loading import load_model, load_tokenizer
from additive.train.data import TrainingRow
from additive.train.validation import Score, completion_score
from additive.types.progress import Progress
from additive.verbs.train import train_domain
from additive.workspace.workspace import Workspace
from tests.benchmarks.generated import DOMAINS, generated_workspace, rows_of
from tests.benchmarks.measure import fill, table
from tests.benchmarks.methods import STEPS
from tests.benchmarks.ranks import correlations, interval, partial, shuffled

METHODS = ("task_arithmetic", "tsv_m", "swudi")
ANSWERS, LOSS = 0, 1
EFFECTS = (
    ("task_arithmetic", ANSWERS), ("task_arithmetic", LOSS), ("tsv_m", LOSS), ("swudi", LOSS),
)  # fmt: skip
PREDICTORS = (
    "norm ratio", "cosine", "size of cosine", "outputs", "inputs", "interference", "conflicts",
    "over_accumulation",
)  # fmt: skip
DRAWS, TENTH = 10_000, 0.1


@dataclass(frozen=True)
class Met:
    """Two domains of a seed: what was predicted, and what their merge did.

    numbers  what `diagnose` measured, by predictor
    kinds    the findings that it put into words
    own      of each domain the share of right answers and their loss, alone
    merged   the same in the merge, by method
    """

    seed: int
    names: tuple[str, str]
    numbers: Mapping[str, float]
    kinds: tuple[str, ...]
    own: Mapping[str, tuple[float, float]]
    merged: Mapping[str, Mapping[str, tuple[float, float]]]

    def cost(self, method: str) -> tuple[float, float]:
        """Answers lost and rise of the loss, each of the domain that fares worse."""
        found = self.merged[method]
        return (
            max(self.own[name][0] - found[name][0] for name in self.names),
            max(found[name][1] - self.own[name][1] for name in self.names),
        )


def meetings(root: Path, seed: int, rows: int) -> Iterator[Met]:
    """All pairs of the generated domains that were trained with this seed."""
    generated_workspace(root, seed, STEPS)
    workspace = Workspace(root)
    artifacts = {name: train_domain(workspace, name, _say).artifact for name in DOMAINS}
    base = workspace.base_directory()
    model, judges = load_model(base), _judges(base, rows)
    own = {
        name: _merged(base, model, {name: artifact}, judges, METHODS[:1])[METHODS[0]][name]
        for name, artifact in artifacts.items()
    }
    for first, second in combinations(DOMAINS, 2):
        chosen = {name: artifacts[name] for name in (first, second)}
        with prepare(base, _specs(chosen)) as prepared:
            found = diagnose(prepared.opened)
        yield Met(
            seed,
            (first, second),
            _numbers(found),
            tuple(finding.kind for finding in found.findings),
            {name: own[name] for name in chosen},
            _merged(base, model, chosen, judges, METHODS),
        )


def _judges(base: Path, rows: int) -> dict[str, Score]:
    tokenizer, found = load_tokenizer(base), {}
    for name in DOMAINS:
        test = rows_of(name)["test"]
        asked = zip(test.prompts[:rows], test.completions[:rows], strict=True)
        found[name] = completion_score(tokenizer, [TrainingRow(p, c) for p, c in asked])
    return found


def _specs(chosen: Mapping[str, Artifact]) -> list[SourceSpec]:
    return [SourceSpec(name, found.digest, found.path) for name, found in chosen.items()]


def _merged(
    base: Path,
    model: PreTrainedModel,
    chosen: Mapping[str, Artifact],
    judges: Mapping[str, Score],
    methods: Sequence[str],
) -> dict[str, dict[str, tuple[float, float]]]:
    """Score and loss of each of these domains in their merge, by method."""
    with prepare(base, _specs(chosen)) as prepared, switching(model, prepared) as show:
        return {
            method: _judged(model, show, prepared.apply(build_method(method)), chosen, judges)
            for method in methods
        }


def _judged(
    model: PreTrainedModel,
    show: Callable[[Mapping[str, Delta]], None],
    deltas: Mapping[str, Delta],
    chosen: Mapping[str, Artifact],
    judges: Mapping[str, Score],
) -> dict[str, tuple[float, float]]:
    show(deltas)
    found = {name: judges[name](model, 0) for name in chosen}
    return {name: (judged.score, judged.loss) for name, judged in found.items()}


def _numbers(found: Diagnosis) -> dict[str, float]:
    whole = found.whole
    pair = whole.pairs[0]
    values = (
        max(whole.norms) / min(whole.norms), pair.cosine, abs(pair.cosine), pair.left, pair.right,
        pair.interference, pair.conflicts, whole.over_accumulation,
    )  # fmt: skip
    return {name: float(value or 0.0) for name, value in zip(PREDICTORS, values, strict=True)}


def predictions(found: Sequence[Met]) -> str:
    """Predictor by cost: ρ with its interval over seeds, and how rare it is by chance."""
    seeds = sorted({met.seed for met in found})
    causes = np.array([[_of(found, seed, name) for name in PREDICTORS] for seed in seeds])
    effects = np.array([_costs(found, seed) for seed in seeds])
    rho, chance = correlations(causes, effects), shuffled(causes, effects, len(DOMAINS), DRAWS)
    mean, held = rho.mean(axis=0), partial(causes, effects, PREDICTORS.index("norm ratio"))
    rare = (np.abs(chance) >= np.abs(mean) - 1e-12).mean(axis=0)
    said = [f"`{method}`, {('answers', 'loss')[kind]}" for method, kind in EFFECTS]
    head = ["number", "range", *said, f"{said[LOSS]}, at equal norm ratio"]
    lines = []
    for place, name in enumerate(PREDICTORS):
        low, high = causes[:, place].min(), causes[:, place].max()
        cells = [_cell(rho[:, place, c], rare[place, c]) for c in range(len(EFFECTS))]
        alone = _mean_rho(held[:, place, LOSS]) if name != "norm ratio" else "–"
        lines.append([name, f"{low:.2f} to {high:.2f}", *cells, alone])
    largest = np.quantile(np.abs(chance).max(axis=(1, 2)), 0.95)
    return (
        f"{table(head, lines)}\n\nMean ρ over {len(seeds)} seeds with its 90 % t-interval; p: the"
        f" share of {DRAWS} shuffles of the domains' names that reach it.\nOf all"
        f" {mean.size} correlations in this table chance alone brings one to {largest:.2f} in one"
        " shuffle of twenty."
    )


def _cell(rho: np.ndarray, rare: float) -> str:
    return f"{_mean_rho(rho)}, p {rare:.3f}"


def _mean_rho(rho: np.ndarray) -> str:
    low, high = interval(rho)
    return f"{rho.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _of(found: Sequence[Met], seed: int, name: str) -> list[float]:
    return [met.numbers[name] for met in found if met.seed == seed]


def _costs(found: Sequence[Met], seed: int) -> list[list[float]]:
    """What is to be predicted, each of all pairs of a seed."""
    pairs = [met for met in found if met.seed == seed]
    return [[met.cost(method)[kind] for met in pairs] for method, kind in EFFECTS]


def sentences(found: Sequence[Met]) -> str:
    """Finding by finding: how many pairs it is said of, and what those and the others cost."""
    kinds = sorted({kind for met in found for kind in met.kinds})
    lines = []
    for kind in kinds:
        sides = [[met for met in found if (kind in met.kinds) is said] for said in (True, False)]
        cells = [_mean_cost(side, method) for method in METHODS for side in sides]
        lines.append([f"*{kind}*", *map(_lossy, sides), *cells])
    methods = [f"`{method}`, {side}" for method in METHODS for side in ("with", "without")]
    head = ["finding", "with it lose a tenth", "without it", *methods]
    return (
        f"{table(head, lines)}\n\nPairs whose worse domain loses a tenth of its answers or more"
        f" under `{METHODS[0]}`; then the mean share that it loses."
    )


def _lossy(side: Sequence[Met]) -> str:
    lost = sum(met.cost(METHODS[0])[ANSWERS] > TENTH - 1e-9 for met in side)
    return f"{lost} of {len(side)}"


def _mean_cost(side: Sequence[Met], method: str) -> str:
    if not side:
        return "–"
    return f"{np.mean([met.cost(method)[ANSWERS] for met in side]):.3f}"


def main() -> None:
    """Measure the seeds, each into a file of its own, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rows", type=int, default=60, help="test rows per domain")
    parser.add_argument("--work", type=Path, default=Path(".methods"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: list[Met] = []
    for seed in options.seeds:
        root = (options.work / f"seed-{seed}").absolute()
        found += _kept(options.work / f"pairs-{seed}.json", root, seed, options.rows)
    text = (
        f"{predictions(found)}\n\n{sentences(found)}\n\nSeeds"
        f" {', '.join(map(str, options.seeds))}; {len(found)} pairs; n = {options.rows} test rows"
        " per domain."
    )
    print(text)
    if options.out:
        fill(options.out, "pairs", text)


def _kept(path: Path, root: Path, seed: int, rows: int) -> list[Met]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [asdict(met) for met in meetings(root, seed, rows)]
        path.write_text(json.dumps(lines, indent=1), encoding="utf-8")
        print(f"{path}: {len(lines)} pairs", file=sys.stderr, flush=True)
    return [Met(**line) for line in json.loads(path.read_text(encoding="utf-8"))]


def _say(progress: Progress) -> None:
    if "frozen" in progress.text:
        print(f"{progress.topic}: {progress.text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
