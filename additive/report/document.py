"""The check document, read strictly (its fields: `types.checks`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from additive.errors import IntegrityError
from additive.types.checks import SUITE_VERDICTS, SuiteVerdict, Verdict, severity

SCHEMA = "additive.check/1"


VERDICTS = (*SUITE_VERDICTS, "not checked")


ROLES = ("target", "guard")


@dataclass(frozen=True)
class Check:
    """A whole check: the merge, its verdict, and its suites in the document's order."""

    name: str
    digest: str | None
    verdict: str
    suites: tuple[SuiteVerdict, ...]
    gaps: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """`name@digest8`."""
        return f"{self.name}@{self.digest[:8]}" if self.digest else self.name

    @property
    def targets(self) -> tuple[SuiteVerdict, ...]:
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
        gaps=tuple(map(str, document.get("gaps") or ())),
    )


def worst(check: Check) -> SuiteVerdict | None:
    """The suite that decides: failed, then undecided, then passed; among those the least slack."""
    return min(check.suites, key=severity, default=None)


def _line(line: Any, at: str) -> SuiteVerdict:
    if not isinstance(line, Mapping):
        raise _wrong(at.rstrip("."), line, "an object")
    return SuiteVerdict(
        suite=_text(line, "suite", at),
        domain=_optional_text(line, "domain", at),
        role="target" if _choice(line, "role", ROLES, at) == "target" else "guard",
        n=_count(line, "n", at) or 0,
        base=_number(line, "base", at),
        specialist=_number(line, "specialist", at),
        merged=_number(line, "merged", at),
        difference=_needed(_number, line, "difference", at),
        interval=_interval(line, at),
        margin=_needed(_number, line, "margin", at),
        retention=_number(line, "retention", at),
        verdict=cast(Verdict, _choice(line, "verdict", SUITE_VERDICTS, at)),
        b10=_needed(_count, line, "b10", at),
        b01=_needed(_count, line, "b01", at),
        reason=_optional_text(line, "reason", at) or "",
        needed=_count(line, "needed", at),
        method=_optional_text(line, "method", at) or "",
        harm=_number(line, "harm", at) or 0.0,
        retain=_number(line, "retain", at),
        unscored=_count(line, "unscored", at) or 0,
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


_Number = TypeVar("_Number", int, float)


def _needed(
    read: Callable[[Mapping[str, Any], str, str], _Number | None],
    line: Mapping[str, Any],
    key: str,
    at: str,
) -> _Number:
    value = read(line, key, at)
    if value is None:
        raise _wrong(at + key, None, "a number")
    return value


def _interval(line: Mapping[str, Any], at: str) -> tuple[float, float]:
    value = line.get("interval")
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_finite, value)):
        raise _wrong(at + "interval", value, "[low, high]")
    return float(value[0]), float(value[1])
