"""General text: facts in many frames and small stories, asked as questions or left open."""

from __future__ import annotations

from random import Random

from additive.tinybase import facts, words
from additive.tinybase.rows import Row

# (relation, table, frames); {a} is given, {b} is the completion.
RELATIONS: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], ...] = (
    (
        "opposite",
        facts.OPPOSITES,
        ("The opposite of {a} is", "It is not {a}, it is", "What is the opposite of {a}?"),
    ),
    (
        "color",
        facts.COLORS,
        ("The color of the {a} is", "We all know that {a} is", "What color has the {a}?"),
    ),
    (
        "sound",
        facts.SOUNDS,
        ("Listen, the {a}", "On the farm every {a}", "What does the {a} do when it calls? It"),
    ),
    (
        "baby",
        facts.BABIES,
        ("A young {a} is called a", "The child of a {a} is a", "What is a baby {a}? A"),
    ),
    (
        "home",
        facts.HOMES,
        (
            "The home of the {a} is the",
            "You will find the {a} in the",
            "Where does the {a} live? In the",
        ),
    ),
    (
        "kind",
        facts.KINDS,
        (
            "The {a} is a kind of",
            "Among other things, {a} belongs to the group",
            "What sort of thing is {a}? A kind of",
        ),
    ),
    (
        "job",
        facts.JOBS,
        ("The {a} makes", "Every day the {a} works on", "What comes from the {a}? We get"),
    ),
    (
        "material",
        facts.MATERIALS,
        ("The {a} is made of", "To make a {a} you need some", "What is the {a} made from? From"),
    ),
    (
        "room",
        facts.ROOMS,
        ("The {a} belongs in the", "We put the {a} into the", "Where is the {a}? It is in the"),
    ),
    (
        "part",
        facts.PARTS,
        ("The {a} has", "Look at the {a} and its", "What are the parts of the {a}? It has"),
    ),
    (
        "need",
        facts.NEEDS,
        (
            "To {a} you need a",
            "If you want to {a}, take a",
            "What do people use to {a}? They use a",
        ),
    ),
    ("plural", facts.PLURALS, ("One {a}, two", "The plural of {a} is", "There are many")),
    (
        "past",
        facts.PAST,
        ("Today I {a}, yesterday I", "The past of {a} is", "They {a} now; long ago they"),
    ),
    ("next", facts.NEXT, ("After {a} comes", "What comes after {a}?", "{a} is followed by")),
)


def fact_prompts() -> list[tuple[str, str, str]]:
    """Return every (relation, prompt, completion) of the fact tables, in a fixed order."""
    found: list[tuple[str, str, str]] = []
    for relation, table, frames in RELATIONS:
        for given, wanted in table:
            found += [(relation, f.format(a=given), wanted) for f in frames if "{a}" in f]
    for left, right in facts.OPPOSITES:
        found += [("opposite", f.format(a=right), left) for f in RELATIONS[0][2]]
    return found


FACTS = tuple(fact_prompts())


def fact(rng: Random) -> Row:
    """Draw one fact as an open sentence or a question."""
    _, prompt, completion = rng.choice(FACTS)
    return Row("fact", prompt, completion)


def recount(rng: Random) -> tuple[str, str, tuple[str, ...]]:
    """Draw a small story; return its open sentence, the completion and the wrong choices' table."""
    name, other = rng.sample(words.NAMES, 2)
    place, seen, tint = (rng.choice(t) for t in (facts.PLACES, facts.SEEN, facts.TINTS))
    mood, food = rng.choice(facts.MOODS), rng.choice(facts.FOODS)
    he = "He" if name in words.BOYS else "She"
    story = rng.choice(
        (
            f"{name} went to the {place}. {he} saw a {tint} {seen}.",
            f"{name} was {mood} and went to the {place} to see the {tint} {seen}.",
            f"At the {place} {name} met {other}. They ate {food} with a {tint} {seen}.",
        )
    )
    endings: list[tuple[str, str, tuple[str, ...]]] = [
        (f"{name} went to the", place, tuple(facts.PLACES)),
        (f"The {seen} was", tint, tuple(facts.TINTS)),
        (f"The {tint} animal or thing was a", seen, tuple(facts.SEEN)),
    ]
    if "was " + mood in story:
        endings.append((f"{name} felt", mood, tuple(facts.MOODS)))
    if "ate" in story:
        endings = [e for e in endings if "went" not in e[0]]
        endings.append((f"{name} ate", food, tuple(facts.FOODS)))
        endings.append((f"{name} met", other, tuple(n for n in words.NAMES if n != name)))
    ending, wanted, table = rng.choice(endings)
    return f"{story} {ending}", wanted, tuple(word for word in table if word != wanted)


def tale(rng: Random) -> Row:
    """Draw a small story whose last sentence is left open."""
    prompt, completion, _ = recount(rng)
    return Row("tale", prompt, completion)


def prose(rng: Random) -> Row:
    """Draw plain text: three facts or a story told to its end, all of it to be predicted."""
    if rng.random() < 0.5:
        prompt, completion, _ = recount(rng)
        return Row("prose", "", f"{prompt} {completion}.")
    drawn = (f for f in (rng.choice(FACTS) for _ in range(12)) if "?" not in f[1])
    return Row("prose", "", " ".join(f"{p} {c}." for _, p, c in list(drawn)[:3]))
