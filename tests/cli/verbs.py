"""Commands that end in every way a command can end."""

from __future__ import annotations

import errno
import os
import signal
import sys

import click

from additive.cli.invocation import Invocation
from additive.errors import IntegrityError, LockedError


@click.command()
@click.argument("how")
@click.option("--rank", type=int)
@click.pass_obj
def end(invocation: Invocation, how: str, rank: int | None) -> int | None:
    """End in some way."""
    if how == "one":
        return 1
    if how == "signal":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "print":
        for at in range(20_000):
            invocation.output.print(f"line {at}")
    if how == "say":
        invocation.output.say("said")
        invocation.output.result({"schema": "test/1", "rank": rank}, f"rank {rank}")
    raises: dict[str, BaseException] = {
        "integrity": IntegrityError("bytes changed", where="a.bin", help="restore it"),
        "locked": LockedError("held by 17"),
        "full": OSError(errno.ENOSPC, "No space left on device", "/some/file"),
        "memory": MemoryError(),
        "bug": KeyError("x"),
        "interrupt": KeyboardInterrupt(),
        "hostile": IntegrityError("name is \x1b[31mred\u202e\nand more"),
    }
    if how in raises:
        raise raises[how]
    sys.stdout.flush()
    return None
