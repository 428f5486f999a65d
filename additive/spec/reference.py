"""Writes docs/specs.md and the JSON Schemas: `python -m additive.spec.reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from additive.spec.examples import EXAMPLES
from additive.spec.fields import Key, about, keys_of
from additive.spec.schema import MODELS, model_of, write_schemas

_FILES = {
    "workspace": "additive.yaml",
    "domain": "domains/&lt;name&gt;/domain.yaml",
    "suite": "evals/&lt;suite&gt;.yaml",
    "recipe": "merges/&lt;name&gt;.yaml",
}
_INTRODUCTION = """# Specs

Generated from the models in `additive/spec/` by `make docs`; do not edit by hand.

Files are YAML 1.2: `2e-4` is a number, `no` is text. Unknown keys, wrong types and numbers that
are not finite are faults, and `additive lint` names all of a file at once with line and column.
Fractions are in (0, 1], never percent. Paths of a domain's data are relative to its directory,
those of a suite's to `evals/`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(line for kind in MODELS for line in _section(kind))])


def write(root: Path) -> None:
    """Write docs/specs.md and additive/data/schemas below the repository's root."""
    (root / "docs" / "specs.md").write_text(reference(), encoding="utf-8")
    write_schemas(root / "additive" / "data" / "schemas")


def _section(kind: str) -> Iterator[str]:
    model = model_of(kind)
    yield f"## {_FILES[kind]}\n"
    yield f"{about(model)}\n"
    yield from _example(kind)
    yield "| key | takes | default | |"
    yield "|---|---|---|---|"
    for key in keys_of(model):
        yield _row(key)
    yield ""


def _example(kind: str) -> Iterator[str]:
    yield f"```yaml\n{EXAMPLES[kind]}```\n"


def _row(key: Key) -> str:
    takes = "block" if key.blocks and key.takes.startswith("block") else key.takes
    default = "" if key.default == "{}" else "**required**" if key.required else f"`{key.default}`"
    default = {"`–`": "–", "`see text`": "see text"}.get(default, default)
    return f"| `{key.dotted}` | {takes} | {default} | {key.about.replace('|', '/')} |"


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2])
