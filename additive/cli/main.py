"""`additive`: the table of verbs, each imported when it is called, and every exit code.

A verb has one file on each side: `additive/cli/NAME.py` takes the options and prints, and calls
what `additive/verbs/NAME.py` exports through `additive` (`additive.train_domain`). So its `--help`
imports no engine, and Python users call the same functions. To add a verb, write both files and a
line in VERBS. A command is given an `Invocation` (`@click.pass_obj`), returns an exit code or None,
and raises `additive.errors`.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from additive import __version__
from additive.cli.failures import failure_of, print_failure
from additive.cli.invocation import Invocation, global_options
from additive.errors import Terminated, UnknownName
from additive.workspace.environment import set_thread_policy


@dataclass(frozen=True)
class Verb:
    """Where a verb's command is, and its line in the help."""

    command: str
    section: str
    summary: str


VERBS: dict[str, Verb] = {
    "init": Verb("additive.cli.init:command", "Start", "create a workspace"),
    "demo": Verb("additive.cli.demo:command", "Start", "train, merge and check three domains"),
    "doctor": Verb("additive.cli.doctor:command", "Start", "check this machine"),
    "lint": Verb("additive.cli.lint:command", "Start", "check specs, data, digests and leaks"),
    "adopt": Verb(
        "additive.cli.adopt:command", "Build", "freeze an adapter that was trained elsewhere"
    ),
    "train": Verb("additive.cli.train:command", "Build", "train domains to saturation and freeze"),
    "diagnose": Verb(
        "additive.cli.diagnose:command", "Build", "measure interference before merging"
    ),
    "merge": Verb("additive.cli.merge:command", "Build", "merge frozen domains, then check"),
    "check": Verb("additive.cli.check:command", "Evaluate", "evaluate a merge and run the gate"),
    "gate": Verb("additive.cli.gate:command", "Evaluate", "run the gate on two result files"),
    "ask": Verb("additive.cli.ask:command", "Inspect", "compare the answers of several models"),
    "list": Verb("additive.cli.list:command", "Inspect", "list domains, merges and suites"),
    "show": Verb("additive.cli.show:command", "Inspect", "show one artifact and its origin"),
    "report": Verb("additive.cli.report:command", "Inspect", "write a report about a merge"),
    "verify": Verb(
        "additive.cli.verify:command", "Inspect", "compare artifacts with their manifests"
    ),
    "export": Verb("additive.cli.export:command", "Inspect", "write a recipe as a mergekit file"),
}
_EXAMPLE = """\b
Examples:
  additive init my-skills --base tiny && cd my-skills
  additive lint
"""


class VerbGroup(click.Group):
    """The commands of VERBS, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of VERBS."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's command and give it the global options."""
        if cmd_name not in VERBS:
            return None
        set_thread_policy()
        module, _, attribute = VERBS[cmd_name].command.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        taken = {name for parameter in command.params for name in parameter.opts}
        for option in global_options(hidden=True):
            if not taken.intersection(option.opts):
                command.params.append(option)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb. Raises: UnknownName with the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise UnknownName("verb", args[0], VERBS, help="additive --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, without importing any."""
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            rows = [(name, verb.summary) for name, verb in VERBS.items() if verb.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=VerbGroup,
    params=global_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLE,
)
@click.version_option(__version__, prog_name="additive")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train skills one at a time, merge them exactly, release through a gate.

    These options work before and after the command. `additive COMMAND --help` explains a command.
    """
    context.obj = context.obj or Invocation(Path.cwd())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command line: print its errors, return its exit code.

    This has the only broad `except` of the package: an exception that nothing foresaw is a bug.
    """
    handler = signal.signal(signal.SIGTERM, _terminate)
    ours = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    try:
        code: Any = cli.main(list(arguments), prog_name="additive", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in ours:
            traceback.print_exc()
        failure = failure_of(error)
        print_failure(failure, as_json="--json" in ours)
        return failure.exit_code
    finally:
        signal.signal(signal.SIGTERM, handler)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated("terminated", help="run the same command again: it continues")
