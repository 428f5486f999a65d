"""All that a report is made of: the check, and what the manifests of merge and specialists say.

Items that changed hands: what the specialist got right and the merge lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from additive.artifacts.manifest import CurvePoint, Manifest
from additive.report.curves import Curve, Point
from additive.report.document import Check, SuiteVerdict, worst
from additive.report.suggest import Circumstances, Suggestion, suggest
from additive.report.text import fraction, interval, one_line, plural
from additive.types.norms import total_norm
from additive.types.results import SuiteResult, pair

MOST = 20


@dataclass(frozen=True)
class Flip:
    """One lost item: what was asked, what was expected, what the two models said."""

    id: str
    prompt: str
    expected: str
    reference: str
    merged: str


@dataclass(frozen=True)
class Flips:
    """The first lost items of a suite, with the counts of all lost and all won ones."""

    suite: str
    items: tuple[Flip, ...]
    lost: int
    won: int


def flips_of(
    reference: SuiteResult,
    merged: SuiteResult,
    prompts: Mapping[str, str],
    expected: Mapping[str, str],
    *,
    most: int = MOST,
) -> Flips:
    """The items on which the merge scores below the reference, in the suite's order.

    `prompts` and `expected` are by item id; an id that they lack is printed as an empty text.

    Raises: CompatibilityError when the two results are not of the same items and prompts.
    """
    pairs = pair(reference, merged)
    lost = [item.id for item in pairs if item.candidate < item.reference]
    before = {item.id: item.answer for item in reference.items}
    after = {item.id: item.answer for item in merged.items}
    items = tuple(
        Flip(key, prompts.get(key, ""), expected.get(key, ""), before[key], after[key])
        for key in lost[:most]
    )
    won = sum(item.candidate > item.reference for item in pairs)
    return Flips(reference.suite, items, len(lost), won)


@dataclass(frozen=True)
class Evidence:
    """A check with the manifests behind it; whatever is not given is left out of the pages.

    `base_checks` says of each adopted specialist, by digest, how sure its base is; `diagnosis` is
    the document of `additive diagnose` over the same sources, if there was one.

    Example: `Evidence(read_check(document), read_manifest(merge), [read_manifest(math)])`
    """

    check: Check
    merge: Manifest | None = None
    specialists: Sequence[Manifest] = ()
    flips: Sequence[Flips] = ()
    base_checks: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Mapping[str, Any] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the merged specialists, in the order that a merge's own name has them."""
        if self.merge is None or not self.merge.parents:
            return tuple(specialist.name for specialist in self.specialists)
        said = self.merge.name.split("+")
        names = [parent.name for parent in self.merge.parents]
        return tuple(sorted(names, key=lambda name: said.index(name) if name in said else 0))

    def suggestions(self) -> tuple[Suggestion, ...]:
        """What to do next, knowing the sources, their norms, the scale and the method."""
        base = self.merge.base.id if self.merge is not None and self.merge.base else "tiny"
        norms = {manifest.name: total_norm(manifest.norms) for manifest in self.specialists}
        return suggest(
            self.check, Circumstances(self.sources, norms, self.scale(), base, self.method())
        )

    def scale(self) -> float | None:
        """The merge's scale, if its spec says it as a number."""
        scale = self.merge.spec.get("scale") if self.merge is not None else None
        return float(scale) if isinstance(scale, int | float) else None

    def method(self) -> str | None:
        """The name of the merge's method, if its spec says it."""
        method = self.merge.spec.get("method") if self.merge is not None else None
        return str(method["name"]) if isinstance(method, Mapping) and "name" in method else None


def headline(check: Check) -> str:
    """The verdict as a sentence, with the suite that decided it."""
    line = worst(check)
    if check.verdict == "not checked" or line is None:
        return "no suite for these domains: nothing is known about what was lost"
    if check.verdict == "pass":
        return (
            f"nothing was lost beyond its margin on {plural(len(check.suites), 'suite')}; "
            f"nearest to its margin: {_story(line)}"
        )
    others = sum(suite.verdict == line.verdict for suite in check.suites) - 1
    more = f" ({plural(others, 'other suite')} with the same verdict)" if others else ""
    return f"{_story(line)}{more}"


def _story(line: SuiteVerdict) -> str:
    margin = "" if line.margin is None else f", margin {fraction(line.margin)}"
    change = line.difference or 0.0
    verb = "lost" if change < 0 else "won"
    return (
        f"{one_line(line.suite)} {verb} {fraction(abs(change))} against {line.reference} "
        f"(90 % interval {interval(line.interval)}{margin})"
    )


def explanation(line: SuiteVerdict) -> str:
    """Why a suite did not pass and what would settle it; empty for one that passed."""
    if line.verdict == "pass":
        return ""
    if line.reason:
        return one_line(line.reason)
    if line.needed is not None and line.needed > line.n:
        return f"about {plural(line.needed, 'item')} would settle it, it has {line.n}"
    return line.verdict


def by_task(line: SuiteVerdict) -> tuple[str, ...]:
    """The scores of a suite's tasks, a line each; empty where there is but one."""
    tasks = [task for task in line.tasks if isinstance(task, Mapping)]
    return tuple(map(_task, tasks)) if len(tasks) > 1 else ()


def _task(task: Mapping[str, Any]) -> str:
    scores = [
        f"{name} {fraction(value)}"
        for name in ("base", "specialist", "merged")
        if isinstance(value := task.get(name), int | float)
    ]
    counts = [
        f"{word} {task[key]}" for key, word in (("b10", "lost"), ("b01", "won")) if key in task
    ]
    return f"{task.get('task', '')} ({task.get('n', 0)} items): {', '.join([*scores, *counts])}"


def curve_of(manifest: Manifest) -> Curve:
    """The learning curve of a specialist: its own validation first, other suites beside it."""
    scored = [point for point in manifest.curve if point.score is not None]
    suites = list(dict.fromkeys(point.suite for point in scored))
    own = next(
        (s for s in (manifest.name, "validation") if s in suites), suites[0] if suites else ""
    )
    return Curve(
        name=manifest.name,
        own=_points(scored, own),
        others=tuple((suite, _points(scored, suite)) for suite in suites if suite != own),
        outcome=outcome(manifest),
        mark=plateau(manifest),
        snapshots=tuple((snapshot.fraction, snapshot.step) for snapshot in manifest.snapshots),
    )


def _points(points: Sequence[CurvePoint], suite: str) -> tuple[Point, ...]:
    return tuple(
        Point(point.step, point.score, point.low, point.high)
        for point in points
        if point.suite == suite and point.score is not None
    )


def outcome(manifest: Manifest) -> str:
    """How training ended, in a word; empty when the manifest does not say."""
    return str(manifest.saturation.get("outcome") or "")


def plateau(manifest: Manifest) -> int | None:
    """The plateau step: where the whole snapshot was taken, else what the saturation test says."""
    whole = [snapshot.step for snapshot in manifest.snapshots if snapshot.fraction == 1]
    said: Any = manifest.saturation.get("plateau_step", manifest.saturation.get("step"))
    return whole[0] if whole else said if isinstance(said, int) else None


def training_story(manifest: Manifest) -> str:
    """`saturated at step 420, validation 0.953, at most 0.004 more to gain`, if all is known."""
    step, word = plateau(manifest), outcome(manifest)
    own = curve_of(manifest).own
    parts = [f"{word or 'trained'}{f' at step {step}' if step is not None else ''}"]
    if own:
        parts.append(f"validation {fraction(own[-1].score)}")
    gain = manifest.saturation.get("gain")
    if isinstance(gain, int | float):
        left = 1 - own[-1].score if own else 1.0
        parts.append(f"at most {fraction(min(float(gain), left))} more to gain")
    return ", ".join(parts) if word or step is not None or own else ""
