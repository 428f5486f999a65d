"""General text, and the guard suite over it.

The text is facts in many frames and small stories, asked as questions or left open. The suite is a
cloze, scored by the likelihood of each choice.
"""

from __future__ import annotations

from random import Random

from tools.tinybase import words
from tools.tinybase.rows import Item, Row, apart, distinct, fold_of, numbered, read_recall

# (relation, table, frames); {a} is given, {b} is the completion.
RELATIONS: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], ...] = (
    (
        "opposite",
        words.OPPOSITES,
        ("The opposite of {a} is", "It is not {a}, it is", "What is the opposite of {a}?"),
    ),
    (
        "color",
        words.COLORS,
        ("The color of the {a} is", "We all know that {a} is", "What color has the {a}?"),
    ),
    (
        "sound",
        words.SOUNDS,
        ("Listen, the {a}", "On the farm every {a}", "What does the {a} do when it calls? It"),
    ),
    (
        "baby",
        words.BABIES,
        ("A young {a} is called a", "The child of a {a} is a", "What is a baby {a}? A"),
    ),
    (
        "home",
        words.HOMES,
        (
            "The home of the {a} is the",
            "You will find the {a} in the",
            "Where does the {a} live? In the",
        ),
    ),
    (
        "kind",
        words.KINDS,
        (
            "The {a} is a kind of",
            "Among other things, {a} belongs to the group",
            "What sort of thing is {a}? A kind of",
        ),
    ),
    (
        "job",
        words.JOBS,
        ("The {a} makes", "Every day the {a} works on", "What comes from the {a}? We get"),
    ),
    (
        "material",
        words.MATERIALS,
        ("The {a} is made of", "To make a {a} you need some", "What is the {a} made from? From"),
    ),
    (
        "room",
        words.ROOMS,
        ("The {a} belongs in the", "We put the {a} into the", "Where is the {a}? It is in the"),
    ),
    (
        "part",
        words.PARTS,
        ("The {a} has", "Look at the {a} and its", "What are the parts of the {a}? It has"),
    ),
    (
        "need",
        words.NEEDS,
        (
            "To {a} you need a",
            "If you want to {a}, take a",
            "What do people use to {a}? They use a",
        ),
    ),
    ("plural", words.PLURALS, ("One {a}, two", "The plural of {a} is", "There are many")),
    (
        "past",
        words.PAST,
        ("Today I {a}, yesterday I", "The past of {a} is", "They {a} now; long ago they"),
    ),
    ("next", words.NEXT, ("After {a} comes", "What comes after {a}?", "{a} is followed by")),
)


def fact_prompts() -> list[tuple[str, str, str]]:
    """Return every (relation, prompt, completion) of the fact tables, in a fixed order."""
    found: list[tuple[str, str, str]] = []
    for relation, table, frames in RELATIONS:
        for given, wanted in table:
            found += [(relation, f.format(a=given), wanted) for f in frames if "{a}" in f]
    for left, right in words.OPPOSITES:
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
    place, seen, tint = (rng.choice(t) for t in (words.PLACES, words.SEEN, words.TINTS))
    mood, food = rng.choice(words.MOODS), rng.choice(words.FOODS)
    he = "He" if name in words.BOYS else "She"
    story = rng.choice(
        (
            f"{name} went to the {place}. {he} saw a {tint} {seen}.",
            f"{name} was {mood} and went to the {place} to see the {tint} {seen}.",
            f"At the {place} {name} met {other}. They ate {food} with a {tint} {seen}.",
        )
    )
    endings: list[tuple[str, str, tuple[str, ...]]] = [
        (f"{name} went to the", place, tuple(words.PLACES)),
        (f"The {seen} was", tint, tuple(words.TINTS)),
        (f"The {tint} animal or thing was a", seen, tuple(words.SEEN)),
    ]
    if "was " + mood in story:
        endings.append((f"{name} felt", mood, tuple(words.MOODS)))
    if "ate" in story:
        endings = [e for e in endings if "went" not in e[0]]
        endings.append((f"{name} ate", food, tuple(words.FOODS)))
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


GUARD_SEED = 22
GUARD_ROWS = {"fact": 500, "tale": 700}
GUARD_SPARE = 20


def _choices(rng: Random, wanted: str, wrong: list[str]) -> tuple[list[str], int]:
    choices = [wanted, *rng.sample(wrong, min(len(wrong), rng.choice((1, 2, 3))))]
    rng.shuffle(choices)
    return choices, choices.index(wanted)


def _fact(rng: Random) -> Item | None:
    relation, prompt, wanted = rng.choice(FACTS)
    right = {c for _, p, c in FACTS if p == prompt}
    wrong = sorted({c for r, _, c in FACTS if r == relation} - right)
    return _item(rng, prompt, wanted, wrong)


def _tale(rng: Random) -> Item | None:
    prompt, wanted, wrong = recount(rng)
    return _item(rng, prompt, wanted, list(wrong))


def _item(rng: Random, prompt: str, wanted: str, wrong: list[str]) -> Item | None:
    if fold_of(prompt) >= 6:
        return None
    choices, answer = _choices(rng, wanted, wrong)
    return {"prompt": prompt, "grader": "choice", "choices": choices, "answer": answer}


def guard_items() -> list[Item]:
    """Return the items of the suite; their prompts are in no domain and in no recall row."""
    rng = Random(GUARD_SEED)
    seen: set[str] = set()
    items = distinct(lambda: _fact(rng), GUARD_ROWS["fact"], seen)
    tales = distinct(lambda: _tale(rng), GUARD_ROWS["tale"] + GUARD_SPARE, seen)
    items += apart(tales, [read_recall()], GUARD_ROWS["tale"])
    return numbered("general-cloze", items)
