"""Draws error messages that the tests assert, to be read as a stranger to the project reads them.

    python tools/draw_messages.py [--count 20] [--seed 0] [DIR]

Collected from the test files below DIR (default: `tests`): the `match=` of `pytest.raises`, and
string constants compared, in an `assert`, with something whose name says that it is a message
(`message`, `help`, `err`, `stderr`, `error`). Constants without a space are left out. The draw is
without replacement and depends on the seed and the set of messages only.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

_MESSAGE_NAMES = frozenset({"err", "error", "errors", "help", "message", "messages", "stderr"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Print `path:line: message` for each message drawn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("tests"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for text, place in draw(options.directory, options.count, options.seed):
        print(f"{place}: {text}")


def draw(directory: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """(message, path:line) of `count` different messages, or of all where there are fewer."""
    places: dict[str, str] = {}
    for path in sorted(directory.rglob("*.py")):
        for text, line in messages(path.read_text(encoding="utf-8")):
            places.setdefault(text, f"{path}:{line}")
    texts = sorted(places)
    return [(text, places[text]) for text in Random(seed).sample(texts, min(count, len(texts)))]


def messages(source: str) -> Iterator[tuple[str, int]]:
    """(message, line) of everything in a test file that is compared with an error message."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            expected = [keyword.value for keyword in node.keywords if keyword.arg == "match"]
        elif isinstance(node, ast.Assert) and _names(node.test) & _MESSAGE_NAMES:
            expected = list(ast.walk(node.test))
        else:
            continue
        for constant in expected:
            match constant:
                case ast.Constant(value=str(text), lineno=line) if " " in text.strip():
                    yield text, line


def _names(expression: ast.expr) -> set[str]:
    """The variables and attributes that an expression mentions."""
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(expression)
        if isinstance(node, ast.Name | ast.Attribute)
    }


if __name__ == "__main__":
    main()
