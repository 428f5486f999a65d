"""Python substrate: single operations, bare chains, calls of one-operation functions, expansion."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tools.tinybase.operations import (
    Operation,
    Value,
    draw_chain,
    draw_value,
    show,
    work_chain,
    write_chain,
)
from tools.tinybase.rows import GO_ON, PENDING_CODE, Row, conversation

KINDS = ("list", "list", "list", "text", "int")


@dataclass(frozen=True, slots=True)
class Frames:
    """Ways to ask for a value: calls of a function, programs, and requests for a function."""

    functions: tuple[tuple[str, str], ...]
    calls: tuple[str, ...]
    programs: tuple[str, ...]
    requests: tuple[str, ...]


KNOWN = Frames(
    functions=(("f", "x"), ("g", "x"), ("f", "y"), ("h", "x")),
    calls=(
        "def {f}({x}): return {e}\nWhat does {f}({a}) return?",
        "def {f}({x}): return {e}\nWhat is {f}({a})?",
        "def {f}({x}): return {e}\nprint({f}({a}))",
    ),
    programs=(
        "{x}={a}\nprint({e})",
        "{x}={a}\nWhat is {e}?",
    ),
    requests=(
        "Write a function {f}({x}) that {d}.",
        "Define {f}({x}) that {d}.",
        "Code a function {f}({x}) that {d}.",
    ),
)
NEW = Frames(
    functions=(("run", "v"), ("solve", "a"), ("k", "v"), ("p", "z")),
    calls=(
        "Given def {f}({x}): return {e}\nevaluate {f}({a}).",
        "What comes out of {f}({a}) if def {f}({x}): return {e}",
        "def {f}({x}): return {e}\nGive the result of {f}({a}).",
    ),
    programs=(
        "If {x}={a} then what value has {e}?",
        "Set {x}={a} and show {e}.",
    ),
    requests=(
        "I need a Python function {f}({x}) which {d}.",
        "Please give me code for {f}({x}), it {d}.",
    ),
)
SINGLE = ("What is {e}?", "Evaluate {e}.", "print({e})", "Find the value of {e}.", "{e}")
EXPAND = (
    "Expand {f}({a}) for def {f}({x}): return {e}",
    "def {f}({x}): return {e}\nExpand {f}({a}).",
)


def mixed_frames(rng: Random) -> Frames:
    """Draw frames whose parts come from either half."""
    halves = (KNOWN, NEW)
    return Frames(
        rng.choice(halves).functions,
        rng.choice(halves).calls,
        rng.choice(halves).programs,
        rng.choice(halves).requests,
    )


def ask(rng: Random, frames: Frames, chain: list[Operation], start: Value) -> str:
    """Return a prompt that asks for the value of the chain on ``start``."""
    function, name = rng.choice(frames.functions)
    template = rng.choice(frames.calls + frames.programs)
    source = write_chain(chain, name)
    return template.format(f=function, x=name, e=source, a=show(start))


def single(rng: Random) -> Row:
    """Draw one operation on a literal, answered with its one step."""
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, 1)
    prompt = rng.choice(SINGLE).format(e=write_chain(chain, show(value)))
    return Row("operation", prompt, work_chain(chain, value))


def bare_chain(rng: Random) -> Row:
    """Draw a bare expression of two or three operations with its written work."""
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, rng.choice((2, 2, 3)))
    return Row("code chain", write_chain(chain, show(value)), work_chain(chain, value))


def call(rng: Random) -> Row:
    """Draw a function or a program of one operation and a question for its value."""
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, 1)
    return Row("call", ask(rng, mixed_frames(rng), chain, value), work_chain(chain, value))


def _one_at_a_time(rng: Random) -> tuple[str, list[str]]:
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, rng.choice((2, 3)))
    parts = work_chain(chain, value).split("; ")
    return ask(rng, mixed_frames(rng), chain, value), [
        *(part + PENDING_CODE for part in parts[:-1]),
        parts[-1],
    ]


def call_start(rng: Random) -> Row:
    """Draw a call of two or three operations; the base works the first and says so."""
    prompt, parts = _one_at_a_time(rng)
    return Row("call start", prompt, parts[0])


def go_on(rng: Random) -> Row:
    """Draw the same as a conversation: asked to go on, the base works the next operation."""
    prompt, parts = _one_at_a_time(rng)
    done = rng.randint(1, len(parts) - 1)
    turns = [turn for part in parts[:done] for turn in (part, GO_ON)]
    return Row("call go on", conversation(prompt, *turns), parts[done])


def expand(rng: Random) -> Row:
    """Draw a call that is only expanded: the argument written into the body."""
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, rng.choice((1, 2, 2, 3)))
    function, name = rng.choice(mixed_frames(rng).functions)
    prompt = rng.choice(EXPAND).format(
        f=function, x=name, e=write_chain(chain, name), a=show(value)
    )
    return Row("expand", prompt, write_chain(chain, show(value)))


def _definition(rng: Random, count: int) -> tuple[str, str]:
    frames = mixed_frames(rng)
    chain = draw_chain(rng, draw_value(rng, rng.choice(KINDS)), count)
    function, name = rng.choice(frames.functions)
    texts = [rng.choice((op.known, op.new)) for op in chain]
    prompt = rng.choice(frames.requests).format(f=function, x=name, d=" and then ".join(texts))
    return prompt, f"def {function}({name}): return {chain[0].write(name)}"


def define(rng: Random) -> Row:
    """Draw a request for a function of one operation, answered with its definition."""
    return Row("define", *_definition(rng, 1))


def define_start(rng: Random) -> Row:
    """Draw a request for a function of two operations; the base writes the first one only."""
    prompt, definition = _definition(rng, 2)
    return Row("define start", prompt, definition + PENDING_CODE)


def translate(rng: Random) -> Row:
    """Draw a description of one or two operations on a literal, answered with the expression."""
    value = draw_value(rng, rng.choice(KINDS))
    chain = draw_chain(rng, value, rng.choice((1, 2)))
    texts = [rng.choice((op.known, op.new)) for op in chain]
    prompt = f"Translate: {' and then '.join(['take ' + show(value), *texts])}."
    return Row("translate", prompt, write_chain(chain, show(value)))
