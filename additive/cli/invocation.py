"""One call of the command line: the global options, the output, the workspace when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import additive
from additive.cli.output import Output
from additive.workspace.environment import Environment

if TYPE_CHECKING:
    from additive.workspace.workspace import Workspace


@dataclass(frozen=True)
class Invocation:
    """The global options; `@click.pass_obj` hands it to a command as its first argument."""

    directory: Path
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    color: bool = True

    @cached_property
    def output(self) -> Output:
        """Where to print."""
        color = self.color and not Environment.read().no_color
        return Output(as_json=self.as_json, quiet=self.quiet, color=color)

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace around the current directory, or around -C DIR. Raises: UsageError."""
        return additive.find_workspace(self.directory)


def global_options(*, hidden: bool) -> list[click.Option]:
    """The options every command takes, before or after its name; its own help hides them."""
    return [
        _option(
            ["-C"],
            "directory",
            hidden,
            "Run as if started in DIR.",
            type=click.Path(),
            metavar="DIR",
        ),
        _option(["--json"], "as_json", hidden, "Print the result as JSON.", is_flag=True),
        _option(["-q", "--quiet"], "quiet", hidden, "Print no progress.", is_flag=True),
        _option(
            ["-v", "--verbose"], "verbose", hidden, "Print every line of progress.", is_flag=True
        ),
        _option(["--debug"], "debug", hidden, "Print the traceback of an error.", is_flag=True),
        _option(
            ["--no-color"], "color", hidden, "Print without colors, as with NO_COLOR.", is_flag=True
        ),
    ]


def _option(names: list[str], key: str, hidden: bool, help: str, **kind: Any) -> click.Option:
    return click.Option(
        [*names, f"global_{key}"],
        hidden=hidden,
        help=help,
        expose_value=False,
        is_eager=True,
        callback=_remember,
        **kind,
    )


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Put the value of a global option into the invocation, wherever the option stands."""
    if not value:
        return
    invocation: Invocation = context.obj or Invocation(Path.cwd())
    key = str(option.name).removeprefix("global_")
    if key == "directory":
        value = invocation.directory / value
    elif key == "color":
        value = False
    context.obj = replace(invocation, **{key: value})
