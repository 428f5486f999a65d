"""`additive`: a table of verbs, imported when they are used, and the exit code of everything.

To add a verb, write `additive/cli/<verb>.py` with a `command`, and a line in LAZY. A verb is handed
a `Session` (`@click.pass_obj`), returns an exit code or None, and raises `additive.errors`.
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
from additive.cli.session import Session, global_options
from additive.errors import Terminated, UnknownName


@dataclass(frozen=True)
class Verb:
    """Where a verb's command is, and its line in the help."""

    target: str
    section: str
    summary: str


LAZY: dict[str, Verb] = {
    "init": Verb("additive.cli.init:command", "Start", "scaffold a workspace"),
    "demo": Verb("additive.cli.demo:command", "Start", "the whole story on the bundled base"),
    "doctor": Verb("additive.cli.doctor:command", "Start", "judge this machine"),
    "lint": Verb("additive.cli.lint:command", "Start", "check specs, data, digests and leaks"),
    "adopt": Verb("additive.cli.adopt:command", "Build", "take in what was trained elsewhere"),
    "train": Verb(
        "additive.cli.train:command", "Build", "one domain at a time, to saturation, frozen"
    ),
    "diagnose": Verb(
        "additive.cli.diagnose:command", "Build", "how frozen domains will meet, before merging"
    ),
    "merge": Verb("additive.cli.merge:command", "Build", "add frozen domains up, then check"),
    "check": Verb("additive.cli.check:command", "Judge", "evaluate a merge, then the gate"),
    "gate": Verb("additive.cli.gate:command", "Judge", "the verdict alone, from two result files"),
    "ask": Verb("additive.cli.ask:command", "Look", "base, specialists and merges side by side"),
    "list": Verb("additive.cli.list:command", "Look", "what there is"),
    "show": Verb("additive.cli.show:command", "Look", "one artifact, with where it comes from"),
    "report": Verb("additive.cli.report:command", "Look", "one HTML page about a merge"),
    "verify": Verb("additive.cli.verify:command", "Look", "check every byte, offline"),
    "export": Verb("additive.cli.export:command", "Look", "a recipe as a mergekit file"),
}
_EXAMPLE = """\b
  additive init my-skills --base tiny && cd my-skills
  additive lint
"""


class Verbs(click.Group):
    """The verbs, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of LAZY."""
        return list(LAZY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb and give it the global options."""
        if cmd_name not in LAZY:
            return None
        import_module("additive.workspace.environment").set_thread_policy()
        module, _, attribute = LAZY[cmd_name].target.partition(":")
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
        if args and args[0] not in LAZY and not args[0].startswith("-"):
            raise UnknownName("verb", args[0], LAZY, help="additive --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, without importing any."""
        for section in dict.fromkeys(verb.section for verb in LAZY.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, verb.summary) for name, verb in LAZY.items() if verb.section == section]
                )


@click.group(
    cls=Verbs,
    params=global_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLE,
)
@click.version_option(__version__, prog_name="additive")
@click.pass_context
def verbs(context: click.Context) -> None:
    """Fine-tuned skills that add up: train each alone, merge exactly, release through a gate."""
    context.obj = context.obj or Session(Path.cwd())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command line; errors are printed, and the exit code is returned.

    This holds the only broad `except` of the package: what reaches it unforeseen is a bug of ours.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    given = _options_of(arguments)
    try:
        code: Any = verbs.main(list(arguments), prog_name="additive", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in given:
            traceback.print_exc()
        failure = failure_of(error)
        print_failure(failure, as_json="--json" in given)
        return failure.exit_code
    finally:
        signal.signal(signal.SIGTERM, before)


def _options_of(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments up to `--`."""
    return arguments[: list(arguments).index("--")] if "--" in arguments else arguments


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated("terminated", help="run the same command again: it continues")
