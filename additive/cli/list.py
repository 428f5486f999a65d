"""`additive list`: domains with their versions, merges, suites and methods."""

from __future__ import annotations

from typing import Any

import click

import additive
from additive.cli.invocation import Invocation
from additive.cli.output import Output

SCHEMA = "additive.list/1"


SECTIONS = ("domains", "merges", "suites", "methods")


Record = dict[str, Any]
Table = tuple[list[str], list[list[str]]]


@click.command()
@click.argument("what", required=False, type=click.Choice(SECTIONS))
@click.pass_obj
def command(invocation: Invocation, what: str | None) -> None:
    """List domains, merges and suites of the workspace, or only one kind of them.

    Merge methods are listed by `additive list methods`, which works outside a workspace too.

    \b
    Examples:
      additive list
      additive list methods
    """
    if what == "methods":
        document: Record = {"schema": SCHEMA, "methods": additive.list_methods()}
        invocation.output.result(document, _table(invocation.output, what, document[what]))
        return
    workspace = invocation.workspace
    listers = {
        "domains": additive.list_domains,
        "merges": additive.list_merges,
        "suites": additive.list_suites,
    }
    records = {name: listers[name](workspace) for name in ([what] if what else listers)}
    document = {"schema": SCHEMA, "workspace": str(workspace.root), **records}
    tables = [_table(invocation.output, name, rows) for name, rows in records.items()]
    invocation.output.result(document, "\n\n".join(tables))


def _table(output: Output, section: str, records: list[Record]) -> str:
    tables = {
        "domains": _domain_table,
        "merges": _merge_table,
        "suites": _suite_table,
        "methods": _method_table,
    }
    columns, rows = tables[section](records)
    return output.table(columns, rows) if rows else f"no {section} yet"


def _domain_table(records: list[Record]) -> Table:
    rows = [
        [record["name"], record["adapt"] or "adopted", *_newest(record, "not trained")]
        for record in records
    ]
    return ["domain", "adapt", "newest", "state", "versions"], rows


def _merge_table(records: list[Record]) -> Table:
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
    """Reference and state of the newest version, and how many there are."""
    versions = record["versions"]
    if not versions:
        return ["–", without, "0"]
    return [versions[-1]["reference"], versions[-1]["state"], str(len(versions))]


def _suite_table(records: list[Record]) -> Table:
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


def _method_table(records: list[Record]) -> Table:
    columns = ["name", "paper", "needs", "cost", "origin"]
    return ["method", *columns[1:]], [[record[key] for key in columns] for record in records]
