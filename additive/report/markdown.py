"""The check as Markdown: for `reports/<merge>.md`, a pull request, or a job's summary."""

from __future__ import annotations

import re

from additive.report.document import Check
from additive.report.evidence import Evidence, by_task, explanation, headline, training_story
from additive.report.interference import meeting_of
from additive.report.lineage import LineageNode, commands, lineage
from additive.report.table import HEADER, rows
from additive.report.text import one_line

# Underscores inside words and brackets that no link follows mean nothing to GitHub's Markdown.
_SPECIAL = re.compile(r"([\\`*<>|~$&]|(?<!\w)_|_(?!\w)|\](?=[(\[:]))")


_NUMBERS = frozenset({2, 3, 4, 5, 6, 8})


def render_markdown(evidence: Evidence) -> str:
    """The page of a check; names from outside are escaped, so that they format nothing."""
    parts = [
        f"# {escape(evidence.check.name)}: {evidence.check.verdict}",
        *([f"`{_code(evidence.check.digest)}`"] if evidence.check.digest else []),
        f"**{evidence.check.verdict}**: {escape(headline(evidence.check))}.",
        *_suites(evidence.check),
        "## What to do next",
        "\n".join(_steps(evidence)),
        *_learning(evidence),
        *_meeting(evidence),
        *_tree(evidence),
        *_reproduce(evidence),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text on one line in which Markdown and HTML see nothing special.

    >>> escape("a|b <script>")
    'a\\\\|b \\\\<script\\\\>'
    """
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _code(text: str) -> str:
    return one_line(text).replace("`", "'")


def _suites(check: Check) -> list[str]:
    if not check.suites:
        return []
    table = [
        _cells(HEADER),
        _cells(["--:" if i in _NUMBERS else "---" for i in range(len(HEADER))]),
    ]
    table += [_cells([escape(cell) for cell in row]) for row in rows(check)]
    why = [
        f"- {escape(suite.suite)}: {escape(explanation(suite))}"
        for suite in check.suites
        if explanation(suite)
    ]
    why += [f"- {escape(s.suite)}: {escape(task)}" for s in check.suites for task in by_task(s)]
    says = "Scores are fractions of items; difference is merged − reference, on the same items."
    return ["## Every suite", "\n".join(table), says, *(["\n".join(why)] if why else [])]


def _cells(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _steps(evidence: Evidence) -> list[str]:
    return [
        f"{number}. {escape(step.text)}" + (f": `{_code(step.command)}`" if step.command else "")
        for number, step in enumerate(evidence.suggestions(), 1)
    ]


def _learning(evidence: Evidence) -> list[str]:
    stories = [(manifest.name, training_story(manifest)) for manifest in evidence.specialists]
    lines = [f"- {escape(name)}: {escape(story)}" for name, story in stories if story]
    return ["## How each specialist learned", "\n".join(lines)] if lines else []


def _meeting(evidence: Evidence) -> list[str]:
    meeting = meeting_of(evidence.diagnosis)
    if meeting is None:
        return []
    lines = [f"- {escape(sentence)}: {escape(help)}" for sentence, help in meeting.findings]
    return ["## How the deltas meet", "\n".join(lines)]


def _tree(evidence: Evidence) -> list[str]:
    root = lineage(evidence)
    return ["## Where it comes from", "\n".join(_branch(root, 0))] if root else []


def _branch(node: LineageNode, depth: int) -> list[str]:
    digest = f" `{_code(node.digest)}`" if node.digest else ""
    details = f": {' · '.join(map(escape, node.details))}" if node.details else ""
    line = f"{'  ' * depth}- {node.kind} **{escape(node.name)}**{digest}{details}"
    return [line, *(part for child in node.children for part in _branch(child, depth + 1))]


def _reproduce(evidence: Evidence) -> list[str]:
    lines = "\n".join(f"    {one_line(command)}" for command in commands(evidence))
    return ["## How to reproduce it", lines] if lines else []
