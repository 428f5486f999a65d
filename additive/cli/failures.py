"""Errors as the user sees them: `error:` lines, a `help:` line, an exit code, JSON with --json."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from additive.cli.output import clean
from additive.errors import AdditiveError, Interrupted, SpecError

SCHEMA = "additive.error/1"


@dataclass(frozen=True)
class Failure:
    """One failed command: what each line says, and how to mend it."""

    kind: str
    exit_code: int
    problems: tuple[str, ...]
    help: str | None = None
    usage: str = ""


def failure_of(error: BaseException) -> Failure:
    """What an exception means to the user."""
    if isinstance(error, AdditiveError):
        problems = error.problems if isinstance(error, SpecError) else tuple(str(error).split("\n"))
        return Failure(type(error).__name__, error.exit_code, problems, error.help)
    if isinstance(error, click.ClickException):
        return _usage_failure(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        again = "run the same command again: it continues"
        return Failure("Interrupted", Interrupted.exit_code, ("interrupted",), again)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = f"out of memory: {str(error).splitlines()[0] if str(error) else 'nothing was kept'}"
        return Failure(
            "ResourceError", 4, (text,), "use a smaller batch, or a machine with more memory"
        )
    if isinstance(error, OSError):
        return Failure("ResourceError", 4, (_system_problem(error),))
    return _bug(error)


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """Print a failure on stderr; with --json also as a document on stdout."""
    if as_json:
        document = {"schema": SCHEMA, **asdict(failure)}
        document.pop("usage")
        print(json.dumps(document, indent=2))
    if failure.usage:
        print(failure.usage, file=sys.stderr)
    for problem in failure.problems:
        print(f"error: {clean(problem)}", file=sys.stderr)
    if failure.help:
        print(f"help: {clean(failure.help)}", file=sys.stderr)


def _usage_failure(error: click.ClickException) -> Failure:
    context = getattr(error, "ctx", None)
    help_line = f"{context.command_path} --help" if context else "additive --help"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return Failure(
            "UsageError", 2, ("no verb is given",), help_line, usage=error.format_message()
        )
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {error.possibilities[0]!r}?" if error.possibilities else ""
        return Failure("UsageError", 2, (f"unknown option {error.option_name!r}{near}",), help_line)
    message = error.format_message().rstrip(".")
    return Failure("UsageError", 2, (message[:1].lower() + message[1:],), help_line)


def _system_problem(error: OSError) -> str:
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _bug(error: BaseException) -> Failure:
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    text = f"this is a bug in additive: {type(error).__name__}: {error}{place}"
    return Failure(
        "Bug", 70, (text,), "please report it, with what the same command prints with --debug"
    )
