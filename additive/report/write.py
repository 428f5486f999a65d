"""The pages of a check on disk: `reports/<merge>.html`, `.md` and `.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from additive.artifacts.atomic import render_json, write_text
from additive.errors import SecurityError
from additive.report.evidence import Evidence
from additive.report.html import render_html
from additive.report.markdown import render_markdown


@dataclass(frozen=True)
class Pages:
    """Where a report was written."""

    html: Path
    markdown: Path
    document: Path


def write_report(directory: Path, evidence: Evidence, document: Mapping[str, Any]) -> Pages:
    """Write both pages and the check document itself, each as a whole or not at all.

    Raises: SecurityError when the name is no file name, ResourceError when the disk is full.
    """
    name = evidence.check.name
    if name in (".", "..") or any(mark in name for mark in "/\\\0") or name.startswith("."):
        raise SecurityError(f"name is {name!r:.80}; expected a file name", where="check")
    pages = Pages(*(directory / f"{name}{suffix}" for suffix in (".html", ".md", ".json")))
    write_text(pages.html, render_html(evidence))
    write_text(pages.markdown, render_markdown(evidence))
    write_text(pages.document, render_json(document))
    return pages
