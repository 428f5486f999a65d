"""Single Python operations: how each is written, labelled and described; results are executed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from types import CodeType

Value = int | str | list[int]
LETTERS = "abcdefgh"

# label | takes | gives | source | description in known frames | description in new frames
TABLE = """
sorted|list|list|sorted({e})|sorts it|puts it in order
[::-1]|list|list|{e}[::-1]|reverses it|turns it around
[1:]|list|list|{e}[1:]|drops the first item|cuts off the item at the front
[:-1]|list|list|{e}[:-1]|drops the last item|cuts off the item at the end
[:2]|list|list|{e}[:2]|keeps the first two items|takes only two items from the front
[-2:]|list|list|{e}[-2:]|keeps the last two items|takes only two items from the end
len|list|int|len({e})|counts the items|finds the length
sum|list|int|sum({e})|adds up the items|finds the total
max|list|int|max({e})|takes the largest item|finds the maximum
min|list|int|min({e})|takes the smallest item|finds the minimum
[0]|list|int|{e}[0]|takes the first item|finds the item at the front
[-1]|list|int|{e}[-1]|takes the last item|finds the item at the end
[1]|list|int|{e}[1]|takes the second item|finds the item after the first
.upper()|text|text|{e}.upper()|writes it in capitals|makes it upper case
[::-1]|text|text|{e}[::-1]|reverses it|turns it around
[1:]|text|text|{e}[1:]|drops the first letter|cuts off the letter at the front
[:-1]|text|text|{e}[:-1]|drops the last letter|cuts off the letter at the end
[:2]|text|text|{e}[:2]|keeps the first two letters|takes only two letters from the front
len|text|int|len({e})|counts the letters|finds the length
[0]|text|text|{e}[0]|takes the first letter|finds the letter at the front
[-1]|text|text|{e}[-1]|takes the last letter|finds the letter at the end
"""
# the same with a number {k}: drawn for each use
NUMBERED = """
+{k}|int|int|{e}+{k}|adds {k}|makes it larger by {k}
-{k}|int|int|{e}-{k}|subtracts {k}|makes it smaller by {k}
*{k}|int|int|{e}*{k}|multiplies by {k}|makes it {k} times as large
+[{k}]|list|list|{e}+[{k}]|appends {k}|puts {k} at the end
.count({k})|list|int|{e}.count({k})|counts how often {k} occurs|finds how many times {k} is there
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on an operand of kind ``takes`` ("list", "text", "int")."""

    label: str
    takes: str
    gives: str
    source: str
    known: str
    new: str

    def write(self, operand: str) -> str:
        """Return the source of the operation on ``operand``, in brackets where it must be."""
        loose = self.source.startswith("{e}") and not _closed(operand)
        return self.source.format(e=f"({operand})" if loose else operand)

    def apply(self, value: Value) -> Value:
        """Return what executing the operation on ``value`` gives."""
        return eval(_compiled(self.source), {"v": value})

    def step(self, value: Value) -> str:
        """Return the step of written work: the label and the value that it gives."""
        return f"{self.label}={show(self.apply(value))}"


@cache
def _compiled(source: str) -> CodeType:
    return compile(source.format(e="v"), "operation", "eval")


def _closed(source: str) -> bool:
    """Tell whether every operator of ``source`` stands inside brackets."""
    depth = 0
    for sign in source:
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign in "+-*":
            return False
    return True


def show(value: Value) -> str:
    """Return the value as Python source without spaces: ``[3,1,2]``."""
    return repr(value).replace(" ", "")


def _rows(table: str) -> tuple[Operation, ...]:
    return tuple(Operation(*line.split("|")) for line in table.strip().splitlines())


FIXED = _rows(TABLE)
PARAMETRIC = _rows(NUMBERED)


def draw_value(rng: Random, kind: str) -> Value:
    """Draw an operand: a list or a text of three to five characters, or a number."""
    if kind == "int":
        return rng.randint(1, 60)
    size = rng.choice((3, 3, 4, 4, 5))
    if kind == "text":
        return "".join(rng.choice(LETTERS) for _ in range(size))
    return [rng.randint(0, 9) for _ in range(size)]


def _fill(operation: Operation, rng: Random, value: Value) -> Operation:
    number = rng.randint(2, 9) if operation.label != "+{k}" else rng.randint(2, 30)
    if operation.label == "-{k}":
        number = rng.randint(1, min(int(value), 30)) if isinstance(value, int) else number
    if operation.label == ".count({k})" and isinstance(value, list) and rng.random() < 0.8:
        number = rng.choice(value)
    parts = (operation.label, operation.takes, operation.gives)
    texts = (operation.source, operation.known, operation.new)
    label, takes, gives = (part.replace("{k}", str(number)) for part in parts)
    source, known, new = (text.replace("{k}", str(number)) for text in texts)
    return Operation(label, takes, gives, source, known, new)


def _usable(operation: Operation, value: Value) -> bool:
    if isinstance(value, int):
        return value <= 12 if operation.label == "*{k}" else value >= 1 or operation.label[0] == "+"
    return len(value) > 2 or "[0]" in operation.label or "1" not in operation.label


def draw_operation(rng: Random, value: Value) -> Operation:
    """Draw an operation that can follow on ``value``."""
    kind = {int: "int", str: "text", list: "list"}[type(value)]
    pool = [op for op in FIXED + PARAMETRIC if op.takes == kind and _usable(op, value)]
    return _fill(rng.choice(pool), rng, value)


def draw_chain(rng: Random, start: Value, length: int) -> list[Operation]:
    """Draw operations that follow on each other from ``start``; no label comes twice in a row."""
    chain: list[Operation] = []
    value = start
    while len(chain) < length:
        operation = draw_operation(rng, value)
        if chain and chain[-1].label[0:2] == operation.label[0:2]:
            continue
        chain.append(operation)
        value = operation.apply(value)
    return chain


def write_chain(chain: list[Operation], operand: str) -> str:
    """Return the source of the whole chain on ``operand``: ``sorted(x)[::-1]``."""
    source = operand
    for operation in chain:
        source = operation.write(source)
    return source


def work_chain(chain: list[Operation], start: Value) -> str:
    """Return the written work: ``sorted=[1,2,3]; [::-1]=[3,2,1]``."""
    steps: list[str] = []
    value = start
    for operation in chain:
        steps.append(operation.step(value))
        value = operation.apply(value)
    return "; ".join(steps)
