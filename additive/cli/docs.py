"""Fills the lists of docs/cli.md from the commands: `python -m additive.cli.docs`.

The page's text is written by hand; what stands between `<!-- options: VERB -->`, or
`<!-- methods -->`, and `<!-- end -->` is what the code knows, so that it cannot be wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from additive.cli.main import verbs

PAGE = Path("docs") / "cli.md"


_BLOCK = re.compile(r"(?P<start><!-- options: (?P<verb>\S+) -->\n).*?(?P<end><!-- end -->)", re.S)


_METHODS = re.compile(r"(?P<start><!-- methods -->\n).*?(?P<end><!-- end -->)", re.S)


GLOBAL = "additive"


def fill(page: str) -> str:
    """The page with every option list as the commands have it.

    Raises: KeyError for a list of a verb that does not exist.
    """
    page = _BLOCK.sub(lambda match: match["start"] + options(match["verb"]) + match["end"], page)
    return _METHODS.sub(lambda match: match["start"] + methods() + match["end"], page)


def listed(page: str) -> tuple[str, ...]:
    """The verbs whose options the page lists, in its order; `additive` for the global ones."""
    return tuple(match["verb"] for match in _BLOCK.finditer(page))


def options(verb: str) -> str:
    """Usage and options of a verb as Markdown; `additive` stands for the options of all verbs."""
    command = verbs if verb == GLOBAL else commands()[verb]
    rows = [_row(parameter) for parameter in command.params if _shown(parameter)]
    table = ["| option | |", "|---|---|", *rows] if rows else ["No options of its own."]
    return "\n".join(["```", usage(verb, command), "```", "", *table]) + "\n"


def methods() -> str:
    """The built-in merge methods, each with the first paragraph of what it says about itself."""
    from additive.merge.methods import METHODS

    rows = ["| method | |", "|---|---|"]
    for name in sorted(name for name in METHODS.builtins if not _is_bridged(name)):
        says = (METHODS.get(name).__doc__ or "").strip().partition("\n\n")[0]
        rows.append(f"| `{name}` | {_cell(says)} |")
    bridged = ", ".join(f"`{name}`" for name in sorted(METHODS.builtins) if _is_bridged(name))
    return (
        "\n".join([*rows, *(["", f"Computed by mergekit: {bridged}."] if bridged else [])]) + "\n"
    )


def _is_bridged(name: str) -> bool:
    return name.startswith("mergekit/")


def commands() -> dict[str, click.Command]:
    """Every verb with its command, in the order of `additive --help`."""
    context = click.Context(verbs, info_name=GLOBAL)
    found = {name: verbs.get_command(context, name) for name in verbs.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def usage(verb: str, command: click.Command) -> str:
    """The line that `--help` begins with."""
    context = click.Context(command, info_name=verb if verb == GLOBAL else f"{GLOBAL} {verb}")
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden


def _row(parameter: click.Parameter) -> str:
    assert isinstance(parameter, click.Option)
    context = click.Context(verbs, info_name=GLOBAL)
    names, help = parameter.get_help_record(context) or ("", "")
    return f"| `{_cell(names)}` | {_cell(help).replace('<', '&lt;')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page again."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
