"""code: the program in an answer, and whether it passes the item's tests.

    {"id": "11", "prompt": "Write a function add(a, b).", "grader": "code", "entry": "add",
     "tests": ["assert add(2, 3) == 5", "assert add(-1, 1) == 0"]}

Fenced blocks are read line by line, as CommonMark has them. The program is the last Python block
that defines `entry` (without `entry`: a function or class that the tests name), with the
definitions of earlier blocks that it needs. Without a fence it is the answer, less the prose before
and after the code. An item's `setup` (imports that its prompt shows, say) stands before it, and its
names are the tests' own. `"mutates": true` says that the tests look at arguments which a call
changed although it returned a value. Running it is someone else's work: this module never executes
anything.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from additive.errors import IntegrityError
from additive.graders.grade import Item, Program

VERSION = "code/2"


_OPENING = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)$")


_ONE_LINE = re.compile(r"^[ \t]*```(?:python|py)?[ \t]+(?P<code>[^`]+)```[ \t]*$", re.IGNORECASE)


_PYTHON = re.compile(r"(?:python|py)[\d.]*$|sage$|ipython$", re.IGNORECASE)


_FIRST = re.compile(
    r"^(?:def|class|import|from|async def|@)\b|^@|^[A-Za-z_]\w*\s*(?::[^=]+)?=(?!=)"
)


_MOST_CHARACTERS = 100_000


_MOST_LINES = 2_000


def program(item: Item, answer: str) -> Program | None:
    """The program to run; None when the answer has no Python code, or lacks the item's `entry`.

    Raises: IntegrityError when the item's tests are not a list of statements, or its setup no text.
    """
    tests = item.get("tests")
    where = f"item {item.get('id')!r}"
    if isinstance(tests, str) or not tests or not all(isinstance(test, str) for test in tests):
        raise IntegrityError(
            f"tests is {tests!r:.80}; expected a list of Python statements", where=where
        )
    entry = item.get("entry")
    if entry is not None and not (isinstance(entry, str) and entry.isidentifier()):
        raise IntegrityError(f"entry is {entry!r}; expected a function's name", where=where)
    setup = item.get("setup", "")
    if not isinstance(setup, str):
        raise IntegrityError(f"setup is {setup!r:.80}; expected Python code", where=where)
    code = extract_code(answer, entry, tests)
    names = defined_names(code)
    if names is None or (entry is not None and entry not in names):
        return None
    return Program(code, tuple(tests), entry, setup, item.get("mutates") is True)


def extract_code(answer: str, entry: str | None = None, tests: Sequence[str] = ()) -> str:
    """The code of an answer that defines what is tested.

    entry  the name that the tests call, where the item says it
    tests  the test statements; without `entry`, the names that they use
    """
    text = answer[:_MOST_CHARACTERS]
    blocks = [block for block in fenced_blocks(text) if block.may_be_python]
    readable = [block.code for block in blocks if defined_names(block.code)]
    if not readable:
        return _unfenced(blocks[-1].code if blocks else text)
    wanted = {entry} if entry else names_used(tests)
    places = [place for place, code in enumerate(readable) if defined_names(code, wanted)]
    if not places and not entry:
        places = [place for place, code in enumerate(readable) if _defines_something(code)]
    last = places[-1] if places else len(readable) - 1
    return _with_helpers(readable[:last], readable[last])


@dataclass(frozen=True)
class Block:
    """A fenced block of Markdown: the first word of its info string, and its text."""

    language: str
    code: str

    @property
    def may_be_python(self) -> bool:
        """Whether it says Python, or nothing."""
        return not self.language or _PYTHON.match(self.language) is not None


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, a last one without a closing fence included.

    A fence closes with at least as many of the same character as it opened with.
    """
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if opening is None:
            single = _ONE_LINE.match(line)
            if single:
                blocks.append(Block("python", single["code"]))
                continue
            opening, lines = _OPENING.match(line), []
        elif _closes(line, opening["fence"]):
            blocks.append(_block(opening, lines))
            opening = None
        else:
            lines.append(line)
    return [*blocks, _block(opening, lines)] if opening is not None else blocks


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and not stripped.strip(fence[0])


def _block(opening: re.Match[str], lines: Sequence[str]) -> Block:
    words = opening["info"].strip().strip("{}.").split()
    code = "\n".join(line.removeprefix(opening["indent"]) for line in lines)
    return Block(words[0] if words else "", textwrap.dedent(code))


def _unfenced(text: str) -> str:
    """The longest run of lines that is Python, from the first line that begins like code."""
    text = text.strip("\n")
    if parsed(text) is not None:
        return text
    lines = text.splitlines()[:_MOST_LINES]
    starts = [place for place, line in enumerate(lines) if _FIRST.match(line)]
    for start in starts[:20]:
        for stop in range(len(lines), start, -1):
            if lines[stop - 1].strip() and (stop == len(lines) or _ends_block(lines[stop])):
                code = "\n".join(lines[start:stop])
                if defined_names(code):
                    return code
    return text


def _ends_block(line: str) -> bool:
    """Whether a line may follow code: it is empty or at the left margin."""
    return not line.strip() or not line[0].isspace()


def _with_helpers(earlier: Sequence[str], code: str) -> str:
    """The code after the definitions of earlier blocks that it needs, directly or not."""
    known: dict[str, str] = {}
    for block in earlier:
        tree = parsed(block)
        for statement in tree.body if tree else ():
            if _is_definition(statement):
                source = ast.get_source_segment(block, statement, padded=True) or ""
                decorators = getattr(statement, "decorator_list", [])
                if decorators:
                    first = decorators[0].lineno - 1
                    source = "\n".join(block.splitlines()[first : statement.end_lineno])
                known |= dict.fromkeys(_bound(statement, True), source)
    needed: dict[str, None] = {}
    own = defined_names(code) or frozenset()
    waiting = [name for name in names_used([code]) if name in known and name not in own]
    while waiting:
        source = known[waiting.pop()]
        if source not in needed:
            needed[source] = None
            waiting += [name for name in names_used([source]) if name in known and name not in own]
    order = [source for source in dict.fromkeys(known.values()) if source in needed]
    return "\n\n".join([*order, code])


def _is_definition(statement: ast.stmt) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return isinstance(statement, (*kinds, ast.Assign, ast.AnnAssign))


def _defines_something(code: str) -> bool:
    tree = parsed(code)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return tree is not None and any(isinstance(statement, kinds) for statement in tree.body)


def names_used(statements: Sequence[str]) -> frozenset[str]:
    """The names that statements read, in any scope; those that are no Python are left out."""
    trees = [tree for tree in map(parsed, statements) if tree is not None]
    return frozenset(
        node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)
    )


def parsed(code: str) -> ast.Module | None:
    """The syntax tree of a module; None when it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def defined_names(
    code: str, wanted: frozenset[str] | set[str] | None = None
) -> frozenset[str] | None:
    """The names that a module binds at its top level, or those of `wanted` that it does.

    None when it is no Python or binds none.
    """
    tree = parsed(code)
    if tree is None:
        return None
    found = frozenset(_top_level(tree))
    return (found if wanted is None else found & wanted) or None


def _top_level(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        for node in ast.walk(statement):
            yield from _bound(node, node is statement)


def _bound(node: ast.AST, top: bool) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and top:
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom) and top:
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign) and top:
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and top and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []
