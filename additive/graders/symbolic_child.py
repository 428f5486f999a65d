"""The child process of `symbolic`: pairs in, one per line as JSON; [equal, readable] out."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys

_MEMORY = 2 << 30


def main() -> None:
    """Answer until the input ends; nothing but answers is written to the parent."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from math_verify import parse, verify

    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        expected, given = json.loads(line)
        gold = parse(_as_latex(expected), parsing_timeout=0)
        # a bare "1+x" is first read as the number in it, so it is read as a formula too
        texts = dict.fromkeys([given, _as_latex(given)])
        readings = [found for text in texts if (found := parse(text, parsing_timeout=0))]
        equal = bool(gold) and any(verify(gold, said, timeout_seconds=None) for said in readings)
        print(json.dumps([equal, bool(readings)]), file=replies, flush=True)


def _as_latex(text: str) -> str:
    return text if "$" in text or "\\boxed" in text else f"${text}$"


if __name__ == "__main__":
    main()
