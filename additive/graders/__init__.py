"""Graders: what an answer is worth, the same for curation, training and evaluation.

numeric · literal · exact · choice · code · refusal · format, each in its own module with the item
that it reads, and a version. Users bring their own as a Verifier (ten lines of Python that run in
the sandbox).
"""

from __future__ import annotations

from additive.graders.grade import (
    THOUGHT_MARKS,
    Fault,
    Grade,
    Program,
    RunPrograms,
    RunVerifier,
    Verifier,
    opened_thought,
)
from additive.graders.grading import KINDS, GradingRequest, Runners, grade, grade_all, version_of
from additive.graders.refusal import is_refusal

__all__ = [
    "KINDS",
    "THOUGHT_MARKS",
    "Fault",
    "Grade",
    "GradingRequest",
    "Program",
    "RunPrograms",
    "RunVerifier",
    "Runners",
    "Verifier",
    "grade",
    "grade_all",
    "is_refusal",
    "opened_thought",
    "version_of",
]
