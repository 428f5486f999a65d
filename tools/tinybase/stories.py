"""Story frames: openings, events and questions; each table is split into known and new frames.

The base reads every frame (one-step stories, and stories written as expressions).
The math domain trains on the known half alone; the new half is for its *new frames* suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tools.tinybase import words
from tools.tinybase.arithmetic import draw_chain, expression, work
from tools.tinybase.rows import GO_ON, PENDING, Row, conversation, sentence


@dataclass(frozen=True, slots=True)
class Frames:
    """One family of story frames; every field is a tuple of templates."""

    openings: tuple[str, ...]
    products: tuple[str, ...]
    gains: tuple[str, ...]
    losses: tuple[str, ...]
    questions: tuple[str, ...]


KNOWN = Frames(
    openings=(
        "{N} has {n} {o}",
        "{N} owns {n} {o}",
        "{N} starts with {n} {o}",
        "{N} holds {n} {o}",
        "{N} carries {n} {o}",
        "{N} got {n} {o} for a birthday",
        "{N} has a box with {n} {o}",
        "{N} counts {n} {o}",
    ),
    products=(
        "{N} has {n} boxes with {m} {o} each",
        "{N} owns {n} bags with {m} {o} in each",
        "{N} fills {n} jars with {m} {o} each",
        "{N} buys {n} packs of {m} {o}",
        "{N} carries {n} baskets of {m} {o} each",
    ),
    gains=(
        "buys {k}",
        "buys {k} more",
        "finds {k}",
        "finds {k} more on the road",
        "gets {k} from a friend",
        "wins {k} in a game",
        "picks up {k}",
        "receives {k} in the mail",
        "collects {k} more",
        "adds {k}",
    ),
    losses=(
        "loses {k}",
        "eats {k}",
        "sells {k}",
        "gives away {k}",
        "gives {k} to a friend",
        "drops {k}",
        "breaks {k}",
        "throws away {k}",
        "uses {k}",
        "leaves {k} at school",
    ),
    questions=(
        "How many {o} does {N} have now?",
        "How many {o} are left?",
        "How many are left?",
        "How many {o} are there now?",
        "How many {o} does {N} have in the end?",
    ),
)

NEW = Frames(
    openings=(
        "{N} keeps {n} {o} in a drawer",
        "{N} begins the day with {n} {o}",
        "{N} stores {n} {o} at home",
        "{N} takes {n} {o} to the park",
        "{N} brings {n} {o} to the party",
        "{N} has saved {n} {o}",
    ),
    products=(
        "{N} packs {n} crates with {m} {o} each",
        "{N} sets {n} rows of {m} {o}",
        "{N} carries {n} trays of {m} {o} each",
        "{N} orders {n} sets of {m} {o}",
    ),
    gains=(
        "earns {k}",
        "earns {k} more at work",
        "borrows {k} from a neighbor",
        "discovers {k} under the bed",
        "is handed {k} by an uncle",
        "gathers {k} more",
        "unpacks {k}",
        "makes {k} more",
    ),
    losses=(
        "donates {k}",
        "hands {k} to a sister",
        "misplaces {k}",
        "trades away {k}",
        "spends {k}",
        "lends {k} to a cousin",
        "ruins {k}",
        "returns {k} to the shop",
    ),
    questions=(
        "What is the number of {o} now?",
        "How many {o} remain?",
        "How many {o} does {N} end up with?",
        "Count the {o} that {N} has now.",
    ),
)

STYLES = ("sentences", "list", "then")


def _events(frames: Frames, steps: Sequence[tuple[str, int]], rng: Random) -> list[str]:
    tables = {"+": list(frames.gains), "-": list(frames.losses)}
    events: list[str] = []
    for op, operand in steps:
        template = rng.choice(tables[op])
        if len(tables[op]) > 1:
            tables[op].remove(template)
        events.append(template.format(k=operand))
    return events


def _join(style: str, opening: str, events: Sequence[str], pronoun: str, rng: Random) -> str:
    if style == "list":
        return f"{', '.join([opening, *events[:-1]])} and {events[-1]}."
    if style == "then":
        return f"{opening}, then {', then '.join(events)}."
    words_between = ("", "", "then ", "later ", "after that ")
    told = [sentence(f"{rng.choice(words_between)}{pronoun} {event}.") for event in events]
    return " ".join([f"{opening}.", *told])


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what a story may be about."""

    names: tuple[str, ...]
    things: tuple[str, ...]


EVERYONE = Cast(words.NAMES, words.THINGS)


def tell(
    rng: Random, frames: Frames, cast: Cast, start: int, steps: Sequence[tuple[str, int]]
) -> tuple[str, str]:
    """Return a story for the chain and its question, both as text."""
    name, thing = rng.choice(cast.names), rng.choice(cast.things)
    rest = list(steps)
    if rest[0][0] == "*":
        factor = rest.pop(0)[1]
        opening = rng.choice(frames.products).format(N=name, n=start, m=factor, o=thing)
    else:
        opening = rng.choice(frames.openings).format(N=name, n=start, o=thing)
    question = rng.choice(frames.questions).format(N=name, o=thing)
    if not rest:
        return f"{opening}.", question
    events = _events(frames, rest, rng)
    pronoun = "he" if name in words.BOYS else "she"
    return _join(rng.choice(STYLES), opening, events, pronoun, rng), question


def mixed_frames(rng: Random) -> Frames:
    """Draw a family whose parts come from either half, so that the base reads all crossings."""

    def pick(part: str) -> tuple[str, ...]:
        return getattr(rng.choice((KNOWN, NEW)), part)

    return Frames(*(pick(p) for p in ("openings", "products", "gains", "losses", "questions")))


def one_step(rng: Random) -> Row:
    """Draw a story with one event (or one product) and its one-step answer."""
    start, steps = draw_chain(rng, 1, rng.random() < 0.25)
    story, question = tell(rng, mixed_frames(rng), EVERYONE, start, steps)
    return Row("story", f"{story} {question}", work(start, steps))


def _one_at_a_time(rng: Random) -> tuple[str, list[str]]:
    start, steps = draw_chain(rng, rng.choice((2, 3)), rng.random() < 0.25)
    story, question = tell(rng, mixed_frames(rng), EVERYONE, start, steps)
    parts = work(start, steps).split("; ")
    return f"{story} {question}", [part + PENDING for part in parts[:-1]] + parts[-1:]


def first_step(rng: Random) -> Row:
    """Draw a story of two or three steps; the base does the first and says that more is to come."""
    prompt, parts = _one_at_a_time(rng)
    return Row("story start", prompt, parts[0])


def go_on(rng: Random) -> Row:
    """Draw the same as a conversation: asked to go on, the base does the next step."""
    prompt, parts = _one_at_a_time(rng)
    done = rng.randint(1, len(parts) - 1)
    turns = [turn for part in parts[:done] for turn in (part, GO_ON)]
    return Row("story go on", conversation(prompt, *turns), parts[done])


READ = ("Write as an expression: {s}", "{s} Write the expression.", "Turn into numbers: {s}")


def reading(rng: Random) -> Row:
    """Draw a story of one to three steps that is only read: the answer is its expression."""
    start, steps = draw_chain(rng, rng.choice((1, 2, 2, 3, 3)), rng.random() < 0.25)
    story, _ = tell(rng, mixed_frames(rng), EVERYONE, start, steps)
    return Row("reading", rng.choice(READ).format(s=story), expression(start, steps))
