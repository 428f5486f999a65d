"""The check document, read strictly.

    {"schema": "additive.check/1", "name": "math+code", "digest": "9f3c…", "verdict": "fail",
     "suites": [{"suite": "code-new-frames", "domain": "code", "role": "target", "n": 1000,
                 "base": 0.21, "specialist": 0.88, "merged": 0.81,
                 "difference": -0.07, "interval": [-0.09, -0.05], "margin": 0.05,
                 "retention": 0.90, "verdict": "fail", "b10": 90, "b01": 20,
                 "tasks": [], "reason": "…", "needed": null}]}

`difference` is merged − reference; the reference is the specialist, or the base for guards and for
specialists that gained nothing. The interval is the two-sided 90 % interval of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from additive.errors import IntegrityError

SCHEMA = "additive.check/1"


SUITE_VERDICTS = ("fail", "cannot tell", "pass")


VERDICTS = (*SUITE_VERDICTS, "not checked")


ROLES = ("target", "guard")


@dataclass(frozen=True)
class SuiteLine:
    """One suite's line of a check; scores, difference, margin and retention are fractions.

    `needed` is the number of items that would settle a suite that cannot tell; `tasks` is passed on
    unread.
    """

    suite: str
    domain: str | None
    role: str
    n: int
    base: float | None
    specialist: float | None
    merged: float | None
    difference: float | None
    interval: tuple[float, float] | None
    margin: float | None
    retention: float | None
    verdict: str
    b10: int | None
    b01: int | None
    reason: str
    needed: int | None
    tasks: tuple[Any, ...]

    @property
    def gain(self) -> float | None:
        """What the specialist gained over the base; null where there is nothing to retain."""
        if self.retention is None or self.specialist is None or self.base is None:
            return None
        gain = self.specialist - self.base
        return gain if gain > 0 else None

    @property
    def reference(self) -> str:
        """In words, what the merge was compared with."""
        retained = self.base is None or self.gain is not None
        return "its specialist" if self.specialist is not None and retained else "the base"

    @property
    def slack(self) -> float:
        """How far the interval's lower end is above −margin; below 0 the loss may be too large."""
        low = self.interval[0] if self.interval else -math.inf
        return low + (self.margin or 0.0)


@dataclass(frozen=True)
class Check:
    """A whole check: the merge, its verdict, and its suites in the document's order."""

    name: str
    digest: str | None
    verdict: str
    suites: tuple[SuiteLine, ...]

    @property
    def reference(self) -> str:
        """`name@digest8`."""
        return f"{self.name}@{self.digest[:8]}" if self.digest else self.name

    @property
    def targets(self) -> tuple[SuiteLine, ...]:
        """The suites in which a specialist's gain has to be kept."""
        return tuple(line for line in self.suites if line.role == "target")


def read_check(document: Mapping[str, Any]) -> Check:
    """Read a check document.

    Raises: IntegrityError naming the field that is missing or has another type than it should.
    """
    if document.get("schema", SCHEMA) != SCHEMA:
        raise _wrong("schema", document["schema"], repr(SCHEMA))
    lines = _list(document, "suites")
    return Check(
        name=_text(document, "name"),
        digest=_optional_text(document, "digest"),
        verdict=_choice(document, "verdict", VERDICTS),
        suites=tuple(_line(line, f"suites[{i}].") for i, line in enumerate(lines)),
    )


def worst(check: Check) -> SuiteLine | None:
    """The suite that decides: failed, then undecided, then passed; among those the least slack."""
    order = {verdict: i for i, verdict in enumerate(SUITE_VERDICTS)}
    return min(check.suites, key=lambda s: (order[s.verdict], s.slack, s.suite), default=None)


def _line(line: Any, at: str) -> SuiteLine:
    if not isinstance(line, Mapping):
        raise _wrong(at.rstrip("."), line, "an object")
    return SuiteLine(
        suite=_text(line, "suite", at),
        domain=_optional_text(line, "domain", at),
        role=_choice(line, "role", ROLES, at),
        n=_count(line, "n", at) or 0,
        base=_number(line, "base", at),
        specialist=_number(line, "specialist", at),
        merged=_number(line, "merged", at),
        difference=_number(line, "difference", at),
        interval=_interval(line, at),
        margin=_number(line, "margin", at),
        retention=_number(line, "retention", at),
        verdict=_choice(line, "verdict", SUITE_VERDICTS, at),
        b10=_count(line, "b10", at),
        b01=_count(line, "b01", at),
        reason=_optional_text(line, "reason", at) or "",
        needed=_count(line, "needed", at),
        tasks=tuple(line.get("tasks") or ()),
    )


def _wrong(field: str, value: Any, should: str) -> IntegrityError:
    return IntegrityError(f"{field} is {value!r:.80}; expected {should}", where="check document")


def _text(line: Mapping[str, Any], key: str, at: str = "") -> str:
    value = line.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(at + key, value, "text")
    return value


def _optional_text(line: Mapping[str, Any], key: str, at: str = "") -> str | None:
    return None if line.get(key) in (None, "") else _text(line, key, at)


def _choice(line: Mapping[str, Any], key: str, known: Sequence[str], at: str = "") -> str:
    value = line.get(key)
    if value not in known:
        raise _wrong(at + key, value, f"one of {', '.join(known)}")
    return str(value)


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = document.get(key)
    if not isinstance(value, list | tuple):
        raise _wrong(key, value, "a list")
    return value


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(line: Mapping[str, Any], key: str, at: str) -> float | None:
    value = line.get(key)
    if value is not None and not _finite(value):
        raise _wrong(at + key, value, "a finite number or null")
    return None if value is None else float(value)


def _count(line: Mapping[str, Any], key: str, at: str) -> int | None:
    value = _number(line, key, at)
    if value is not None and (value < 0 or value != int(value)):
        raise _wrong(at + key, value, "a count")
    return None if value is None else int(value)


def _interval(line: Mapping[str, Any], at: str) -> tuple[float, float] | None:
    value = line.get("interval")
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_finite, value)):
        raise _wrong(at + "interval", value, "[low, high] or null")
    return float(value[0]), float(value[1])
