"""Faults of specs, rows and items, found without torch; `verbs/lint.py` puts them together."""
