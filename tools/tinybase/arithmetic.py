"""Bare arithmetic and bare chains: the numbers that stories, code and chemistry lean on."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tools.tinybase.rows import Row

LIMIT = 99
ADDEND_LIMIT = 200
FACTOR_LIMIT = 12
WEIGHT_LIMIT = 40
WAYS = ("{e}=", "{e}=", "{e}=", "What is {e}?", "Work out {e}.")


def apply_step(left: int, op: str, right: int) -> int:
    """Return ``left op right`` for the three operators of the substrate."""
    if op == "+":
        return left + right
    return left - right if op == "-" else left * right


def work(start: int, steps: Sequence[tuple[str, int]]) -> str:
    """Return the written work of a chain: ``17+25=42; 42-9=33``."""
    parts: list[str] = []
    value = start
    for op, operand in steps:
        result = apply_step(value, op, operand)
        parts.append(f"{value}{op}{operand}={result}")
        value = result
    return "; ".join(parts)


def value_of(start: int, steps: Sequence[tuple[str, int]]) -> int:
    """Return the final value of a chain."""
    value = start
    for op, operand in steps:
        value = apply_step(value, op, operand)
    return value


def expression(start: int, steps: Sequence[tuple[str, int]]) -> str:
    """Return the chain as one expression: ``17+25-9``."""
    return str(start) + "".join(f"{op}{operand}" for op, operand in steps)


def draw_chain(rng: Random, length: int, product: bool) -> tuple[int, list[tuple[str, int]]]:
    """Draw a chain whose values stay within 0..99; ``product`` makes the first step a product."""
    steps: list[tuple[str, int]] = []
    if product:
        start, factor = rng.randint(2, FACTOR_LIMIT), rng.randint(2, 9)
        while start * factor > LIMIT:
            start, factor = rng.randint(2, FACTOR_LIMIT), rng.randint(2, 9)
        steps.append(("*", factor))
    else:
        start = rng.randint(1, LIMIT)
    value = value_of(start, steps)
    while len(steps) < length:
        op = rng.choice("+-")
        room = LIMIT - value if op == "+" else value
        if room < 1:
            continue
        operand = rng.randint(1, room)
        steps.append((op, operand))
        value = apply_step(value, op, operand)
    return start, steps


def _product(rng: Random) -> tuple[int, str, int]:
    if rng.random() < 0.5:
        return rng.randint(0, FACTOR_LIMIT), "*", rng.randint(0, FACTOR_LIMIT)
    small, weight = rng.randint(1, 9), rng.randint(1, WEIGHT_LIMIT)
    return (small, "*", weight) if rng.random() < 0.5 else (weight, "*", small)


def _single(rng: Random) -> tuple[int, str, int]:
    draw = rng.random()
    if draw < 0.3:
        return rng.randint(0, LIMIT), "+", rng.randint(0, LIMIT)
    if draw < 0.45:
        return rng.randint(1, ADDEND_LIMIT), "+", rng.randint(1, LIMIT)
    if draw < 0.75:
        left = rng.randint(0, LIMIT)
        return left, "-", rng.randint(0, left)
    return _product(rng)


def bare(rng: Random) -> Row:
    """Draw one bare sum, difference or product, answered with its value after ``=``."""
    left, op, right = _single(rng)
    prompt = rng.choice(WAYS).format(e=f"{left}{op}{right}")
    return Row("arithmetic", prompt, f"{left}{op}{right}={apply_step(left, op, right)}")


def chain(rng: Random) -> Row:
    """Draw a bare chain of two to four steps with its written work."""
    start, steps = draw_chain(rng, rng.choice((2, 2, 3, 3, 4)), rng.random() < 0.3)
    if rng.random() < 0.2:
        start, steps = rng.randint(1, 150), [("+", rng.randint(1, 60)) for _ in range(2)]
    return Row("chain", f"{expression(start, steps)}=", work(start, steps))


def compare(rng: Random) -> Row:
    """Draw a comparison of two numbers, answered with the larger or smaller one."""
    left, right = rng.sample(range(LIMIT + 1), 2)
    word, value = rng.choice((("larger", max(left, right)), ("smaller", min(left, right))))
    return Row("compare", f"Which is {word}, {left} or {right}?", str(value))
