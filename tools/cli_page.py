"""Writes the lists of docs/cli.md from the commands: `python -m tools.cli_page`.

The page's text is written by hand. What stands between `<!-- options: VERB -->`, or
`<!-- methods -->`, and `<!-- end -->` is generated.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from additive.cli.main import cli
from additive.merge.methods import METHODS

PAGE = Path("docs") / "cli.md"


_BLOCK = re.compile(r"(?P<start><!-- options: (?P<verb>\S+) -->\n).*?(?P<end><!-- end -->)", re.S)


_METHODS = re.compile(r"(?P<start><!-- methods -->\n).*?(?P<end><!-- end -->)", re.S)


GLOBAL = "additive"
"""Stands for the options of every verb."""


def fill(page: str) -> str:
    """The page with every list as the code has it.

    Raises: KeyError for the options of a verb that does not exist.
    """
    page = _BLOCK.sub(lambda match: match["start"] + options(match["verb"]) + match["end"], page)
    return _METHODS.sub(lambda match: match["start"] + methods() + match["end"], page)


def listed(page: str) -> tuple[str, ...]:
    """The verbs whose options the page lists, in its order."""
    return tuple(match["verb"] for match in _BLOCK.finditer(page))


def options(verb: str) -> str:
    """Usage and options of a verb as Markdown."""
    command = cli if verb == GLOBAL else commands()[verb]
    context = click.Context(command, info_name=verb if verb == GLOBAL else f"{GLOBAL} {verb}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    records = [
        option.get_help_record(context) or ("", "")
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    rows = [f"| `{_cell(names)}` | {_cell(text).replace('<', '&lt;')} |" for names, text in records]
    table = ["| option | |", "|---|---|", *rows] if rows else ["No options of its own."]
    return "\n".join(["```", usage, "```", "", *table]) + "\n"


def methods() -> str:
    """The built-in merge methods, each with the first paragraph of its docstring."""
    rows = ["| method | |", "|---|---|"]
    own = sorted(name for name in METHODS.builtins if not name.startswith("mergekit/"))
    for name in own:
        summary = (METHODS.get(name).__doc__ or "").strip().partition("\n\n")[0]
        rows.append(f"| `{name}` | {_cell(summary)} |")
    bridged = ", ".join(f"`{name}`" for name in sorted({*METHODS.builtins} - {*own}))
    if bridged:
        rows += ["", f"Computed by mergekit: {bridged}."]
    return "\n".join(rows) + "\n"


def commands() -> dict[str, click.Command]:
    """Every verb with its command, in the order of `additive --help`."""
    context = click.Context(cli, info_name=GLOBAL)
    by_name = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in by_name.items() if command is not None}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
