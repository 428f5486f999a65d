"""The result of lint: findings by kind, notes, and counts of what was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from additive.errors import RefusedError, SpecError

SCHEMA = "additive.lint/1"


Kind = Literal["spec", "integrity", "leak"]


@dataclass(frozen=True)
class LintFinding:
    """One fault; `message` starts with its place, `help` says how to correct it."""

    kind: Kind
    message: str
    help: str | None = None


@dataclass(frozen=True)
class LintReport:
    """Everything that is wrong with a workspace.

    findings  faults, which decide the exit code
    notes     what the user should know that is not a fault
    counts    how many domains, suites, recipes, rows and items were checked, and leaks found
    """

    findings: tuple[LintFinding, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 without findings, 3 for changed bytes or leaks, 2 for faults in specs or rows."""
        if any(finding.kind != "spec" for finding in self.findings):
            return RefusedError.exit_code
        return SpecError.exit_code if self.findings else 0

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "schema": SCHEMA,
            "ok": not self.findings,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
            "counts": dict(self.counts),
        }
