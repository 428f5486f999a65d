"""Three things to do next, as plain rules on the check: a sentence, and a command if there is one.

pass         ask it something · add a domain · look at the report
fail         factors summed: sum the deltas; the loudest other source: earlier, lighter, with more
             recall; or less of all
cannot tell  items that are needed · what changed hands · a rule on retention
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from additive.report.document import Check, SuiteVerdict, worst
from additive.report.text import fraction, one_line, plural

LIGHTER = 0.7


EARLIER = "#0.5"


FACTORWISE, EXACT = "peft_linear", "task_arithmetic"


_PLAIN = re.compile(r"[\w@%+=:,./-][\w@%+=:,./#-]*", re.ASCII)


@dataclass(frozen=True)
class Suggestion:
    """One next step."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Circumstances:
    """What the rules may know beside the check.

    `sources` are the names of the merged specialists, `norms` their delta norms (the loudest one
    is turned down first), `scale` and `method` the merge's, `base` the name to ask the base by.
    """

    sources: Sequence[str] = ()
    norms: Mapping[str, float] = field(default_factory=dict)
    scale: float | None = None
    base: str = "tiny"
    method: str | None = None


def suggest(check: Check, around: Circumstances) -> tuple[Suggestion, ...]:
    """The three next steps for this check.

    >>> check = Check("math+code", None, "not checked", ())
    >>> suggest(check, Circumstances(["math", "code"]))[1].command
    'additive check math+code'
    """
    decisive = worst(check)
    if check.verdict == "not checked" or decisive is None:
        return _unchecked(check, around)
    if check.verdict == "pass":
        return _passed(check, around)
    if check.verdict == "cannot tell" and not _hopeless(decisive):
        return _undecided(check, decisive)
    lost = _after_a_loss(check, decisive, around)
    return (_exactly(around), *lost[:2]) if around.method == FACTORWISE else lost


def _after_a_loss(
    check: Check, decisive: SuiteVerdict, around: Circumstances
) -> tuple[Suggestion, ...]:
    others = [source for source in around.sources if source != decisive.domain]
    if decisive.reference == "the base" or not others:
        return _lost_by_all(check, decisive, around)
    return _lost_to_others(check, decisive, around, _loudest(others, around.norms))


def _passed(check: Check, around: Circumstances) -> tuple[Suggestion, ...]:
    more = _command("additive merge", *around.sources, "NAME")
    return (
        _ask(check, around),
        Suggestion(
            "add a domain: write domains/NAME/domain.yaml and a suite for it, train it alone, "
            "and merge it as one more source",
            f"additive train NAME && {more}",
        ),
        _read(
            check, "hand on the evidence: table, learning curves, lineage and digests on one page"
        ),
    )


def _unchecked(check: Check, around: Circumstances) -> tuple[Suggestion, ...]:
    domain = around.sources[0] if around.sources else "NAME"
    return (
        Suggestion(
            f"write a suite with held-out items: evals/{one_line(domain)}.yaml; "
            "without one no release is possible",
            "additive lint",
        ),
        Suggestion("check this merge again, it is kept", _command("additive check", check.name)),
        _ask(check, around),
    )


def _undecided(check: Check, line: SuiteVerdict) -> tuple[Suggestion, ...]:
    open_suites = sum(suite.verdict == "cannot tell" for suite in check.suites)
    again = _command("additive check", check.name)
    return (
        Suggestion(_needed(line), again),
        _read(check, f"see which items changed hands on {plural(open_suites, 'undecided suite')}"),
        Suggestion(
            f"if what counts is the share of the gain that is kept, say so: "
            f"gate: {{retain: 0.9}} in {_file(line)}; decide that before looking at new results",
            again,
        ),
    )


def _hopeless(line: SuiteVerdict) -> bool:
    """Whether no number of items would settle it: what is lost is about what is allowed."""
    return line.needed is None and not _too_wide(line)


def _too_wide(line: SuiteVerdict) -> bool:
    return "margin too wide" in line.reason


def _needed(line: SuiteVerdict) -> str:
    if _too_wide(line):
        return (
            f"{one_line(line.suite)}: a margin of {fraction(line.margin)} is so wide that the base "
            f"itself would pass; write gate: {{retain: 0.9}} in {_file(line)}"
        )
    return (
        f"{one_line(line.suite)}: about {plural(line.needed or 0, 'item')} would settle a margin "
        f"of {fraction(line.margin)}, it has {line.n}; add held-out items and check again"
    )


def _lost_to_others(
    check: Check, line: SuiteVerdict, around: Circumstances, loudest: str
) -> tuple[Suggestion, ...]:
    earlier = [name + EARLIER if name == loudest else name for name in around.sources]
    failed = {suite.domain for suite in check.suites if suite.verdict == "fail"}
    steps = (
        Suggestion(
            f"{_loss(line)}: take an earlier snapshot of {one_line(loudest)}, which disturbs less",
            _command("additive merge", *earlier),
        ),
        Suggestion(
            f"or give {one_line(loudest)} a lower weight",
            _command("additive merge", *around.sources, "--weight", f"{loudest}={LIGHTER}"),
        ),
    )
    return (*steps, _smaller_scale(around) if len(failed) > 1 else _recall(loudest))


def _lost_by_all(check: Check, line: SuiteVerdict, around: Circumstances) -> tuple[Suggestion, ...]:
    sources = around.sources or [check.name]
    loudest = _loudest(sources, around.norms)
    earlier = [name + EARLIER for name in sources]
    return (
        Suggestion(f"{_loss(line)}: {_smaller_scale(around).text}", _smaller_scale(around).command),
        Suggestion(
            "or merge earlier snapshots, which disturb less", _command("additive merge", *earlier)
        ),
        _recall(loudest),
    )


def _exactly(around: Circumstances) -> Suggestion:
    return Suggestion(
        f"{FACTORWISE} multiplies sums of factors, with cross terms that nobody trained: "
        "sum the deltas themselves",
        _command("additive merge", *around.sources, "--method", EXACT),
    )


def _smaller_scale(around: Circumstances) -> Suggestion:
    scale = round((around.scale or 1.0) * LIGHTER, 2)
    return Suggestion(
        "take less of every source with a smaller scale",
        _command("additive merge", *around.sources, "--scale", f"{scale:g}"),
    )


def _recall(name: str) -> Suggestion:
    return Suggestion(
        f"or raise recall: {{share: ...}} in domains/{one_line(name)}/domain.yaml, so that "
        f"{one_line(name)} forgets less of the base, and train it again",
        _command("additive train", name),
    )


def _ask(check: Check, around: Circumstances) -> Suggestion:
    names = [around.base, *around.sources[:1], check.name]
    return Suggestion(
        "ask the base, a specialist and the merge the same question",
        _command("additive ask", *names) + ' "your question"',
    )


def _read(check: Check, text: str) -> Suggestion:
    return Suggestion(text, _command("additive report", check.name))


def _loss(line: SuiteVerdict) -> str:
    lost = fraction(-line.difference) if line.difference is not None else "too much"
    doubt = ", which no number of items will settle" if line.verdict == "cannot tell" else ""
    return f"{one_line(line.suite)} lost {lost} against {line.reference}{doubt}"


def _loudest(names: Sequence[str], norms: Mapping[str, float]) -> str:
    return max(names, key=lambda name: norms.get(name, 0.0))


def _file(line: SuiteVerdict) -> str:
    return f"evals/{one_line(line.suite).split('/')[0]}.yaml"


def _command(verb: str, *words: str) -> str:
    return " ".join([verb, *(quote(one_line(word)) for word in words)])


def quote(word: str) -> str:
    """A word as a shell takes it; references (`math@9f3c#0.5`) need no quotes."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)
