"""Taking in what was trained elsewhere: what a folder is, whether it fits the base, what to ask it.

Nothing here writes; `additive.verbs.adopt` freezes what passes.
"""

from __future__ import annotations

from additive.adopt.audit import Audit, audit
from additive.adopt.folder import Folder, recognise
from additive.adopt.questions import Questions, read_questions

__all__ = ["Audit", "Folder", "Questions", "audit", "read_questions", "recognise"]
