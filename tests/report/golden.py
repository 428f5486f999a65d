"""The pages that are kept as files. After a wanted change: `python -m tests.report.golden`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from additive.report.markdown import render_markdown
from additive.report.table import plain_table
from tests.report.documents import evidence

FOLDER = Path(__file__).parent / "golden"
MAKERS: Mapping[str, Callable[[], str]] = {
    "fail.md": lambda: render_markdown(evidence("fail")),
    "pass.md": lambda: render_markdown(evidence("pass")),
    "not-checked.md": lambda: render_markdown(evidence("not checked")),
    "table-120.txt": lambda: plain_table(evidence("fail").check, 120),
    "table-100.txt": lambda: plain_table(evidence("fail").check, 100),
    "table-80.txt": lambda: plain_table(evidence("fail").check, 80),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
