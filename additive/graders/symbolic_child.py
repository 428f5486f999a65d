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
        said = parse(given, parsing_timeout=0) or parse(_as_latex(given), parsing_timeout=0)
        equal = bool(gold and said) and verify(gold, said, timeout_seconds=None)
        print(json.dumps([equal, bool(said)]), file=replies, flush=True)


def _as_latex(text: str) -> str:
    return text if "$" in text or "\\boxed" in text else f"${text}$"


if __name__ == "__main__":
    main()
