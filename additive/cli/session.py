"""What every verb is handed: the global options, the output, the workspace when it asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from additive.cli.output import Output

if TYPE_CHECKING:
    from additive.workspace import Environment, Workspace


@dataclass(frozen=True)
class Session:
    """The global options; `@click.pass_obj` hands it to a verb as its first argument."""

    directory: Path
    as_json: bool = False
    quiet: bool = False
    verbose: int = 0
    debug: bool = False
    color: bool = True

    @cached_property
    def output(self) -> Output:
        """Where to print."""
        return Output(
            as_json=self.as_json,
            quiet=self.quiet,
            verbose=self.verbose,
            color=self.color and not self.environment.no_color,
        )

    @cached_property
    def environment(self) -> Environment:
        """What the environment variables say."""
        from additive.workspace import Environment

        return Environment.read()

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace around the current directory, or around -C DIR. Raises: UsageError."""
        from additive.workspace import find_workspace

        return find_workspace(self.directory)


def global_options(*, hidden: bool) -> list[click.Option]:
    """The options every verb takes, before or after its name; a verb's own help hides them."""
    return [
        _option(["-C"], "directory", hidden, "Work in DIR.", type=click.Path(), metavar="DIR"),
        _option(["--json"], "as_json", hidden, "Print one JSON document.", is_flag=True),
        _option(["-q", "--quiet"], "quiet", hidden, "No progress.", is_flag=True),
        _option(["-v", "--verbose"], "verbose", hidden, "More progress.", count=True),
        _option(["--debug"], "debug", hidden, "Tracebacks of errors.", is_flag=True),
        _option(["--no-color"], "color", hidden, "Plain text (also NO_COLOR).", is_flag=True),
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
    if not value:
        return
    session: Session = context.obj or Session(Path.cwd())
    key = str(option.name).removeprefix("global_")
    if key == "directory":
        value = session.directory / value
    elif key == "color":
        value = False
    context.obj = replace(session, **{key: value})
