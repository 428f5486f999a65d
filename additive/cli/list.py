"""`additive list`: what a workspace has: domains and their versions, merges, suites, methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from additive.artifacts.base_check import base_check_of
from additive.cli.output import Output
from additive.cli.session import Session
from additive.errors import FormatError, RefusedError
from additive.types.digests import short

SCHEMA = "additive.list/1"


SECTIONS = ("domains", "merges", "suites", "methods")


Record = dict[str, Any]


@click.command()
@click.argument("what", required=False, type=click.Choice(SECTIONS))
@click.pass_obj
def command(session: Session, what: str | None) -> None:
    """List domains, merges, suites and merge methods, or one kind of them."""
    makers: dict[str, Callable[[Session], list[Record]]] = {
        "domains": _domains,
        "merges": _merges,
        "suites": _suites,
        "methods": _methods,
    }
    chosen = [what] if what else [name for name in SECTIONS if name != "methods"]
    found = {name: makers[name](session) for name in chosen}
    document = {"schema": SCHEMA, **found}
    if what != "methods":
        document = {"schema": SCHEMA, "workspace": str(session.workspace.root), **found}
    session.output.result(document, _text(session.output, found))


def _domains(session: Session) -> list[Record]:
    """Every domain of the workspace, and every specialist in the store that has no domain here."""
    workspace = session.workspace
    frozen = _frozen(session, "specialist")
    names = sorted({*workspace.domain_names(), *frozen})
    return [
        {
            "name": name,
            "defined": name in workspace.domain_names(),
            "adapt": _adaptation(session, name),
            "versions": frozen.get(name, []),
        }
        for name in names
    ]


def _adaptation(session: Session, name: str) -> str | None:
    if name not in session.workspace.domain_names():
        return None
    spec = session.workspace.domain(name)
    if spec.adopted:
        return "adopted"
    adapt = spec.adapt
    return f"lora r={adapt.rank}" if adapt.kind == "lora" else adapt.kind


def _merges(session: Session) -> list[Record]:
    """Every merge in the store, and every recipe with what was built from it."""
    recipes = session.workspace.recipe_names()
    frozen = _frozen(session, "merge")
    return [
        {"name": name, "recipe": name in recipes, "versions": frozen.get(name, [])}
        for name in sorted({*recipes, *frozen})
    ]


def _frozen(session: Session, kind: str) -> dict[str, list[Record]]:
    """The artifacts of a kind by name, oldest first; a damaged one is listed as such."""
    found: dict[str, list[Record]] = {}
    for artifact in session.workspace.store.all():
        record: Record = {
            "reference": artifact.reference,
            "digest": artifact.digest,
            "path": str(artifact.path),
        }
        try:
            manifest = artifact.manifest
        except RefusedError as error:
            state = "outdated" if isinstance(error, FormatError) else "damaged"
            if ("+" in artifact.name) == (kind == "merge"):
                found.setdefault(artifact.name, []).append({**record, "state": state})
            continue
        if manifest.kind == kind:
            record["state"] = str(manifest.saturation.get("outcome") or "frozen")
            standing = base_check_of(artifact)
            record["base"] = standing.state if standing else "by digest"
            if standing:
                record["state"] = f"base {standing.state}"
            record["method"] = (manifest.spec.get("method") or {}).get("name")
            record["sources"] = [f"{p.name}@{short(p.digest)}" for p in manifest.parents]
            found.setdefault(artifact.name, []).append(record)
    return found


def _suites(session: Session) -> list[Record]:
    return [
        {
            "name": name,
            "domain": spec.domain,
            "role": spec.role,
            "tasks": [task.name for task in spec.tasks],
            "gate": spec.gate.resolved() if spec.gate else None,
            "sides": sorted(spec.sides or ()),
        }
        for name in session.workspace.suite_names()
        for spec in [session.workspace.suite(name)]
    ]


def _methods(session: Session) -> list[Record]:
    from dataclasses import asdict

    from additive.merge.methods import METHODS
    from additive.merge.methods.catalogue import about

    return [
        {"name": name, "origin": METHODS.origin(name), **asdict(about(name))}
        for name in METHODS.names()
    ]


def _text(output: Output, found: dict[str, list[Record]]) -> str:
    drawers: dict[str, Callable[[list[Record]], tuple[list[str], list[list[str]]]]] = {
        "domains": _domain_table,
        "merges": _merge_table,
        "suites": _suite_table,
        "methods": _method_table,
    }
    parts = []
    for name, records in found.items():
        columns, rows = drawers[name](records)
        empty = f"no {name} yet" if name != "methods" else "no methods"
        parts.append(output.table(columns, rows) if rows else empty)
    return "\n\n".join(parts)


def _domain_table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [record["name"], record["adapt"] or "adopted", *_newest(record, "not trained")]
        for record in records
    ]
    return ["domain", "adapt", "newest", "state", "versions"], rows


def _merge_table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            record["name"],
            *_newest(record, "not built"),
            (record["versions"][-1].get("method") or "") if record["versions"] else "",
        ]
        for record in records
    ]
    return ["merge", "newest", "state", "versions", "method"], rows


def _newest(record: Record, without: str) -> list[str]:
    versions = record["versions"]
    if not versions:
        return ["–", without, "0"]
    return [versions[-1]["reference"], versions[-1]["state"], str(len(versions))]


def _suite_table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            record["name"],
            record["domain"] or "–",
            record["role"],
            ", ".join(record["sides"]) or _rule(record["gate"]),
            ", ".join(record["tasks"]),
        ]
        for record in records
    ]
    return ["suite", "domain", "role", "rule", "tasks"], rows


def _rule(gate: Record | None) -> str:
    if gate is None:
        return "–"
    return f"retain {gate['retain']:g}" if gate["retain"] else f"margin {gate['margin']:g}"


def _method_table(records: list[Record]) -> tuple[list[str], list[list[str]]]:
    columns = ["name", "paper", "needs", "cost", "origin"]
    return ["method", *columns[1:]], [[record[key] for key in columns] for record in records]
