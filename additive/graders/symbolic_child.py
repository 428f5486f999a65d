"""The child process of `symbolic`: pairs in, one per line as JSON; [equal, readable] out.

Each pair is compared in a fork of its own, which is killed when its time is over: sympy can compute
for ever in one call that no alarm interrupts. A pair that takes too long is not equal.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import signal
import sys

_MEMORY = 2 << 30


def main() -> None:
    """Answer until the input ends; nothing but answers is written to the parent."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from math_verify import parse, verify

    verify(parse("$1$"), parse("$1$"))  # what is loaded late is loaded before the forks
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        expected, given, timeout_s = json.loads(line)
        print(_in_fork(expected, given, timeout_s), file=replies, flush=True)


def _in_fork(expected: str, given: str, timeout_s: float) -> str:
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answer)
        os.write(told, json.dumps(_compare(expected, given)).encode())
        os._exit(0)
    os.close(told)
    ready = select.select([answer], [], [], timeout_s)[0]
    reply = os.read(answer, 64).decode() if ready else ""
    os.close(answer)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return reply or "[false, false]"


def _compare(expected: str, given: str) -> list[bool]:
    from math_verify import parse, verify

    gold = parse(_as_latex(expected), parsing_timeout=0)
    # a bare "1+x" is first read as the number in it, so it is read as a formula too
    texts = dict.fromkeys([given, _as_latex(given)])
    readings = [found for text in texts if (found := parse(text, parsing_timeout=0))]
    equal = bool(gold) and any(verify(gold, said, timeout_seconds=None) for said in readings)
    return [equal, bool(readings)]


def _as_latex(text: str) -> str:
    return text if "$" in text or "\\boxed" in text else f"${text}$"


if __name__ == "__main__":
    main()
